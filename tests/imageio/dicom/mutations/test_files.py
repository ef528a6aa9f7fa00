"""Files that are lost, doubled, cut, renamed, or of another series."""

import shutil

import pydicom
from pydicom.uid import generate_uid


def nothing(folder):
    pass


def names_shuffled(folder):
    files = folder.files
    for number, path in zip(folder.rng.permutation(len(files)), files, strict=True):
        path.rename(folder.path / f"IM{number}")


def moved_into_folders(folder):
    for number, path in enumerate(folder.files):
        part = folder.path.parent / "nested" / str(number % 3)
        part.mkdir(parents=True, exist_ok=True)
        path.rename(part / path.name)
    (folder.path.parent / "nested").rename(folder.path / "nested")


def instance_numbers_shuffled(folder):
    numbers = iter(folder.rng.permutation(100))
    folder.edit(lambda dataset: setattr(dataset, "InstanceNumber", int(next(numbers))))


def other_files_added(folder):
    (folder.path / "readme.txt").write_text("not DICOM")
    (folder.path / "noise").write_bytes(folder.rng.bytes(4000))


def described_otherwise(folder):
    folder.edit(lambda dataset: setattr(dataset, "PatientName", "Ü^Ö"), folder.some())


def inner_slice_dropped(folder):
    folder.some(inner=True).unlink()


def end_dropped(folder):
    """What is left is a whole, shorter volume."""
    folder.by_place()[int(folder.rng.choice([0, -1]))].unlink()


def several_dropped(folder):
    """Two slices of which at least one has neighbours on both sides."""
    places = folder.by_place()
    first = folder.rng.integers(1, len(places) - 2)
    places[first].unlink()
    places[folder.rng.choice([n for n in range(len(places) - 1) if n not in (0, first)])].unlink()


def copied(folder):
    shutil.copy(folder.some(), folder.path / "copy")


def copied_under_a_new_uid(folder):
    path = folder.some()
    shutil.copy(path, folder.path / "copy")
    folder.edit(lambda d: setattr(d, "SOPInstanceUID", generate_uid()), folder.path / "copy")


def one_instance_uid_for_two(folder):
    one, other = folder.two()
    uid = pydicom.dcmread(one).SOPInstanceUID
    folder.edit(lambda dataset: setattr(dataset, "SOPInstanceUID", uid), other)


def truncated(folder):
    path = folder.rng.choice(folder.files)
    content = path.read_bytes()
    path.write_bytes(content[: folder.rng.integers(150, len(content) - 1)])


def emptied(folder):
    path = folder.some(inner=True)
    path.write_bytes(b"")


def overwritten_with_noise(folder):
    path = folder.some(inner=True)
    path.write_bytes(folder.rng.bytes(path.stat().st_size))


def one_of_another_frame_of_reference(folder):
    folder.edit(lambda d: setattr(d, "FrameOfReferenceUID", generate_uid()), folder.some())


def one_of_another_series(folder):
    """Without an inner slice the series has a gap; without an end it is shorter."""
    folder.edit(lambda d: setattr(d, "SeriesInstanceUID", generate_uid()), folder.some())


MUTATIONS = {
    "same": [
        nothing,
        names_shuffled,
        moved_into_folders,
        instance_numbers_shuffled,
        other_files_added,
        described_otherwise,
    ],
    "refused": [
        inner_slice_dropped,
        several_dropped,
        copied,
        copied_under_a_new_uid,
        one_instance_uid_for_two,
        truncated,
        emptied,
        overwritten_with_noise,
        one_of_another_frame_of_reference,
    ],
    "true": [end_dropped, one_of_another_series],
}
SOURCES = ["brainix", "mprage", "supine", "rle", "jpeg_ls", "jpeg_2000"]


def test_a_series_of_changed_files_is_refused_or_read_as_what_it_is(
    mutation, outcome, series, seed, assess
):
    assess(mutation, outcome, series, seed)
