"""A damaged series is refused, or read as what it then truly is: never as a wrong volume.

Real series, made small, are damaged by chance. What a folder then holds is told by pydicom alone:
of every file its pixels, rescaled, and where its own header puts them. A volume that comes back
must be whole, each of its slices one file's (or frame's) values and at that one's place.
"""

import shutil
import struct
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.pixels import read_pixels

PLACE_MM = 0.06
"""How far a voxel may lie from where its own header puts it: what the gate lets pass in position,
orientation and spacing, summed at the far corner."""


@pytest.fixture(scope="session")
def sources(test_data, tmp_path_factory):
    """Small real series by name: classic, compressed and enhanced ones."""
    root = test_data / "dicom"
    brainix = sorted((root / "brainix/t1").glob("*.dcm"))[4:16]
    mprage = sorted((root / "sag_mprage").glob("*.dcm"))[90:102]
    supine = sorted((root / "decubitus/HFS/3_t1_fl2d_sag").glob("*.dcm"))
    (enhanced,) = (root / "xa30_enhanced/5_anat-T1w_acq-tfl").glob("*.dcm")
    made = {
        "brainix": [small(path, 10) for path in brainix],
        "mprage": [small(path, 6) for path in mprage],
        "supine": [small(path, 6) for path in supine[8:20]],
        "rle": [small(path, 10, RLELossless) for path in brainix],
        "jpeg_ls": [small(path, 6, JPEGLSLossless) for path in mprage],
        "jpeg_2000": [small(path, 6, JPEG2000Lossless) for path in supine[8:20]],
        "enhanced": [small_enhanced(enhanced)],
    }
    folder = tmp_path_factory.mktemp("sources")
    for name, datasets in made.items():
        (folder / name).mkdir()
        for number, dataset in enumerate(datasets):
            dataset.save_as(folder / name / f"{number:02}.dcm", enforce_file_format=True)
    return folder


def small(path, step, syntax=None):
    """A slice of which every few pixels are left, in a matrix that is not square."""
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array[::step, ::step][:, 3:]
    spacing = np.array(dataset.PixelSpacing, dtype=float) * step
    dataset.remove_private_tags()
    dataset.Rows, dataset.Columns = array.shape
    dataset.PixelSpacing = spacing.tolist()
    dataset.PixelData = np.ascontiguousarray(array).tobytes()
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def small_enhanced(path):
    """An enhanced instance of the first ten frames, every fourth pixel left."""
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array[:10, ::4, 4:-4:4]
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:10]
    for group in (
        dataset.SharedFunctionalGroupsSequence[0],
        *dataset.PerFrameFunctionalGroupsSequence,
    ):
        for measures in group.get("PixelMeasuresSequence", []):
            measures.PixelSpacing = [4 * value for value in measures.PixelSpacing]
    dataset.remove_private_tags()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = array.shape
    dataset.PixelData = np.ascontiguousarray(array).tobytes()
    return dataset


class Folder:
    """A copy of a series that mutations work on."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng

    @property
    def files(self):
        return sorted(self.path.iterdir())

    def some(self, inner=False):
        """One of the files; with `inner`, one that has neighbours on both sides."""
        files = self.by_place()
        return files[
            self.rng.integers(1, len(files) - 1) if inner else self.rng.integers(len(files))
        ]

    def two(self):
        return [self.files[i] for i in self.rng.choice(len(self.files), 2, replace=False)]

    def by_place(self):
        return sorted(self.files, key=lambda path: along_normal(pydicom.dcmread(path)))

    def edit(self, change, path=None):
        """Change the data set of one file, or of all."""
        for one in [path] if path else self.files:
            dataset = pydicom.dcmread(one)
            change(dataset)
            buffer = BytesIO()
            dataset.save_as(buffer)
            one.write_bytes(buffer.getvalue())


def along_normal(dataset):
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    return np.cross(*cosines) @ np.array(dataset.ImagePositionPatient, dtype=float)


# What is right for each kind of damage. SAME: harmless, the volume is that of the series as it
# was. REFUSED: it must not be read. TRUE: the data say something else now, and if they are read,
# then as what they say; the damage cannot be told from a series that is so.
SAME, REFUSED, TRUE = "same", "refused", "true"

CLASSIC, ENHANCED = {}, {}


def classic(outcome):
    return lambda mutation: CLASSIC.setdefault(mutation.__name__, (mutation, outcome)) and mutation


def enhanced(outcome):
    return lambda mutation: ENHANCED.setdefault(mutation.__name__, (mutation, outcome)) and mutation


@classic(SAME)
def nothing(folder):
    pass


@classic(SAME)
def names_shuffled(folder):
    files = folder.files
    for number, path in zip(folder.rng.permutation(len(files)), files, strict=True):
        path.rename(folder.path / f"IM{number}")


@classic(SAME)
def moved_into_folders(folder):
    for number, path in enumerate(folder.files):
        part = folder.path.parent / "nested" / str(number % 3)
        part.mkdir(parents=True, exist_ok=True)
        path.rename(part / path.name)
    (folder.path.parent / "nested").rename(folder.path / "nested")


@classic(SAME)
def instance_numbers_shuffled(folder):
    numbers = iter(folder.rng.permutation(100))
    folder.edit(lambda dataset: setattr(dataset, "InstanceNumber", int(next(numbers))))


@classic(SAME)
def other_files_added(folder):
    (folder.path / "readme.txt").write_text("not DICOM")
    (folder.path / "noise").write_bytes(folder.rng.bytes(4000))


@classic(SAME)
def described_otherwise(folder):
    folder.edit(lambda dataset: setattr(dataset, "PatientName", "Ü^Ö"), folder.some())


@classic(REFUSED)
def inner_slice_dropped(folder):
    folder.some(inner=True).unlink()


@classic(TRUE)
def end_dropped(folder):
    """What is left is a whole, shorter volume."""
    folder.by_place()[int(folder.rng.choice([0, -1]))].unlink()


@classic(REFUSED)
def several_dropped(folder):
    """Two slices of which at least one has neighbours on both sides."""
    places = folder.by_place()
    first = folder.rng.integers(1, len(places) - 2)
    places[first].unlink()
    places[folder.rng.choice([n for n in range(len(places) - 1) if n not in (0, first)])].unlink()


@classic(REFUSED)
def copied(folder):
    shutil.copy(folder.some(), folder.path / "copy")


@classic(REFUSED)
def copied_under_a_new_uid(folder):
    path = folder.some()
    shutil.copy(path, folder.path / "copy")
    folder.edit(lambda d: setattr(d, "SOPInstanceUID", generate_uid()), folder.path / "copy")


@classic(REFUSED)
def one_instance_uid_for_two(folder):
    one, other = folder.two()
    uid = pydicom.dcmread(one).SOPInstanceUID
    folder.edit(lambda dataset: setattr(dataset, "SOPInstanceUID", uid), other)


@classic(REFUSED)
def truncated(folder):
    path = folder.rng.choice(folder.files)
    content = path.read_bytes()
    path.write_bytes(content[: folder.rng.integers(150, len(content) - 1)])


@classic(REFUSED)
def emptied(folder):
    path = folder.some(inner=True)
    path.write_bytes(b"")


@classic(REFUSED)
def overwritten_with_noise(folder):
    path = folder.some(inner=True)
    path.write_bytes(folder.rng.bytes(path.stat().st_size))


@classic(TRUE)
def positions_swapped(folder):
    """Where the header has a SliceLocation it contradicts that, else it is so."""
    one, other = folder.two()
    places = {path: pydicom.dcmread(path).ImagePositionPatient for path in (one, other)}
    folder.edit(lambda dataset: setattr(dataset, "ImagePositionPatient", places[other]), one)
    folder.edit(lambda dataset: setattr(dataset, "ImagePositionPatient", places[one]), other)


@classic(TRUE)
def pixels_swapped(folder):
    one, other = folder.two()
    pixels = {path: pydicom.dcmread(path).PixelData for path in (one, other)}
    folder.edit(lambda dataset: setattr(dataset, "PixelData", pixels[other]), one)
    folder.edit(lambda dataset: setattr(dataset, "PixelData", pixels[one]), other)


@classic(REFUSED)
def position_moved(folder):
    axis, shift = folder.rng.integers(3), folder.rng.choice([-1, 1]) * folder.rng.uniform(0.2, 9)

    def change(dataset):
        position = [float(value) for value in dataset.ImagePositionPatient]
        position[axis] = round(position[axis] + shift, 4)
        dataset.ImagePositionPatient = position

    folder.edit(change, folder.some())


@classic(REFUSED)
def position_removed(folder):
    folder.edit(lambda dataset: dataset.pop("ImagePositionPatient"), folder.some())


@classic(REFUSED)
def position_not_a_number(folder):
    path = folder.some()
    position = pydicom.dcmread(path)["ImagePositionPatient"]
    told = "\\".join(str(value) for value in position.value).encode()
    assert path.read_bytes().count(told) >= 1
    path.write_bytes(path.read_bytes().replace(told, b"nan".ljust(len(told))))


def turned(dataset, angle):
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotated = [[cosine, sine], [-sine, cosine]] @ cosines
    dataset.ImageOrientationPatient = [round(value, 6) for value in rotated.ravel().tolist()]


@classic(REFUSED)
def one_turned_in_its_plane(folder):
    angle = folder.rng.choice([np.pi / 2, np.pi, folder.rng.uniform(0.01, 1)])
    folder.edit(lambda dataset: turned(dataset, angle), folder.some())


@classic(TRUE)
def all_turned_in_their_plane(folder):
    angle = folder.rng.uniform(0.01, 3)
    folder.edit(lambda dataset: turned(dataset, angle))


@classic(REFUSED)
def one_of_another_spacing(folder):
    factor = folder.rng.choice([0.5, 0.99, 1.01, 2])

    def change(dataset):
        dataset.PixelSpacing = [round(float(value) * factor, 5) for value in dataset.PixelSpacing]

    folder.edit(change, folder.some())


@classic(TRUE)
def all_of_another_spacing(folder):
    def change(dataset):
        dataset.PixelSpacing = [2, 3]

    folder.edit(change)


@classic(REFUSED)
def spacing_removed(folder):
    folder.edit(lambda dataset: dataset.pop("PixelSpacing"), folder.some())


@classic(REFUSED)
def one_of_another_frame_of_reference(folder):
    folder.edit(lambda d: setattr(d, "FrameOfReferenceUID", generate_uid()), folder.some())


@classic(TRUE)
def one_of_another_series(folder):
    """Without an inner slice the series has a gap; without an end it is shorter."""
    folder.edit(lambda d: setattr(d, "SeriesInstanceUID", generate_uid()), folder.some())


@classic(REFUSED)
def rows_changed_in_one(folder):
    change = int(folder.rng.choice([-1, 1, 7, 60000 - 100]))
    folder.edit(lambda dataset: setattr(dataset, "Rows", dataset.Rows + change), folder.some())


@classic(REFUSED)
def rows_changed_in_all(folder):
    change = int(folder.rng.choice([-5, -1, 1, 7, 60000]))
    folder.edit(lambda dataset: setattr(dataset, "Rows", dataset.Rows + change))


@classic(REFUSED)
def columns_changed_in_all(folder):
    change = int(folder.rng.choice([-5, -1, 1, 7, 60000]))
    folder.edit(lambda dataset: setattr(dataset, "Columns", dataset.Columns + change))


@classic(TRUE)
def rows_and_columns_swapped_in_all(folder):
    """Pixels that are native or run lengths do not tell how long a row is."""

    def change(dataset):
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows

    folder.edit(change)


@classic(REFUSED)
def rows_swapped_for_columns_in_one(folder):
    def change(dataset):
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows

    folder.edit(change, folder.some())


@classic(REFUSED)
def bits_allocated_changed(folder):
    bits = int(folder.rng.choice([0, 1, 8, 12, 24, 32, 64]))

    def change(dataset):
        dataset.BitsAllocated = bits
        dataset.BitsStored = min(dataset.BitsStored, bits)
        dataset.HighBit = max(dataset.BitsStored - 1, 0)

    folder.edit(change)


@classic(REFUSED)
def sign_changed_in_one(folder):
    folder.edit(lambda dataset: setattr(dataset, "PixelRepresentation", 1), folder.some())


@classic(TRUE)
def sign_changed_in_all(folder):
    folder.edit(lambda dataset: setattr(dataset, "PixelRepresentation", 1))


@classic(TRUE)
def bits_stored_changed_in_one(folder):
    def change(dataset):
        dataset.BitsStored, dataset.HighBit = 7, 6

    folder.edit(change, folder.some())


@classic(TRUE)
def bits_stored_changed_in_all(folder):
    def change(dataset):
        dataset.BitsStored, dataset.HighBit = 7, 6

    folder.edit(change)


@classic(TRUE)
def each_slice_rescaled(folder):
    def change(dataset):
        dataset.RescaleSlope = round(folder.rng.uniform(0.1, 4), 6)
        dataset.RescaleIntercept = round(folder.rng.uniform(-50, 50), 3)

    folder.edit(change)


@classic(REFUSED)
def one_slice_rescaled(folder):
    def change(dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, 1

    folder.edit(change, folder.some())


@classic(REFUSED)
def one_of_other_colours(folder):
    def change(dataset):
        dataset.PhotometricInterpretation = str(folder.rng.choice(["MONOCHROME1", "RGB", "X"]))

    folder.edit(change, folder.some())


@classic(SAME)
def all_monochrome1(folder):
    folder.edit(lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))


@classic(REFUSED)
def frames_declared(folder):
    frames = int(folder.rng.choice([2, 3, 100000]))
    folder.edit(lambda dataset: setattr(dataset, "NumberOfFrames", frames), folder.some())


@classic(REFUSED)
def transfer_syntax_changed(folder):
    """The name of another one of the same length of pixels in the file's meta information."""
    path = folder.some()
    content = path.read_bytes()
    dataset = pydicom.dcmread(path)
    old = dataset.file_meta.TransferSyntaxUID
    new = folder.rng.choice(
        [uid for uid in ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70",
                         "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1") if uid != old]
    )  # fmt: skip
    start = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    dataset.file_meta.TransferSyntaxUID = str(new)
    meta = BytesIO()
    pydicom.filewriter.write_file_meta_info(meta, dataset.file_meta)
    path.write_bytes(content[:132] + meta.getvalue() + content[start:])


@classic(REFUSED)
def pixel_length_changed(folder):
    path = folder.some()
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\x00O") + 8
    (length,) = struct.unpack("<I", content[at : at + 4])
    length = (length + int(folder.rng.choice([-2, -200, 2, 2**31]))) % 2**32
    path.write_bytes(content[:at] + struct.pack("<I", length) + content[at + 4 :])


@classic(TRUE)
def header_bytes_changed(folder):
    for _ in range(3):
        path = folder.rng.choice(folder.files)
        content = bytearray(path.read_bytes())
        end = content.rindex(b"\xe0\x7f\x10\x00O")
        content[folder.rng.integers(132, end)] = folder.rng.integers(256)
        path.write_bytes(content)


@classic(TRUE)
def geometry_bytes_changed(folder):
    """A digit of position, orientation, spacing or matrix becomes another."""
    path = folder.some()
    content = bytearray(path.read_bytes())
    tag = folder.rng.choice(["20003200", "20003700", "28003000", "28001000", "28001100"])
    at = content.index(bytes.fromhex(tag)) + 8
    length = int.from_bytes(content[at - 2 : at], "little")
    digits = [i for i in range(at, at + length) if content[i] in b"0123456789"] or [at]
    content[folder.rng.choice(digits)] = folder.rng.choice(list(b"0123456789"))
    path.write_bytes(content)


@enhanced(SAME)
def frames_described_otherwise(folder):
    folder.edit(lambda dataset: setattr(dataset, "PatientName", "Ü^Ö"))


@enhanced(SAME)
def frames_in_another_order(folder):
    """Groups and pixels together."""

    def change(dataset):
        array, groups = dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence
        order = folder.rng.permutation(len(groups))
        dataset.PixelData = array[order].tobytes()
        dataset.PerFrameFunctionalGroupsSequence = [groups[int(number)] for number in order]

    folder.edit(change)


@enhanced(TRUE)
def groups_in_another_order(folder):
    def change(dataset):
        groups = dataset.PerFrameFunctionalGroupsSequence
        order = folder.rng.permutation(len(groups))
        dataset.PerFrameFunctionalGroupsSequence = [groups[int(number)] for number in order]

    folder.edit(change)


@enhanced(REFUSED)
def group_dropped(folder):
    def change(dataset):
        del dataset.PerFrameFunctionalGroupsSequence[int(folder.rng.integers(10))]

    folder.edit(change)


@enhanced(REFUSED)
def inner_frame_dropped(folder):
    def change(dataset):
        number = int(folder.rng.integers(1, 9))
        dataset.PixelData = np.delete(dataset.pixel_array, number, axis=0).tobytes()
        del dataset.PerFrameFunctionalGroupsSequence[number]
        dataset.NumberOfFrames = 9

    folder.edit(change)


@enhanced(REFUSED)
def frame_doubled(folder):
    def change(dataset):
        groups = dataset.PerFrameFunctionalGroupsSequence
        one, other = folder.rng.choice(10, 2, replace=False).tolist()
        groups[one].PlanePositionSequence = groups[other].PlanePositionSequence

    folder.edit(change)


@enhanced(REFUSED)
def frames_declared_otherwise(folder):
    frames = int(folder.rng.choice([1, 9, 11, 2**30]))
    folder.edit(lambda dataset: setattr(dataset, "NumberOfFrames", frames))


@enhanced(REFUSED)
def enhanced_truncated(folder):
    truncated(folder)


@enhanced(REFUSED)
def frame_without_position(folder):
    def change(dataset):
        group = dataset.PerFrameFunctionalGroupsSequence[int(folder.rng.integers(10))]
        del group.PlanePositionSequence

    folder.edit(change)


@enhanced(REFUSED)
def frame_turned(folder):
    def change(dataset):
        group = dataset.PerFrameFunctionalGroupsSequence[int(folder.rng.integers(10))]
        turned(group.PlaneOrientationSequence[0], 0.1)

    folder.edit(change)


@enhanced(TRUE)
def frames_rescaled(folder):
    def change(dataset):
        for group in dataset.PerFrameFunctionalGroupsSequence:
            transformation = pydicom.Dataset()
            transformation.RescaleSlope = round(folder.rng.uniform(0.1, 4), 6)
            transformation.RescaleIntercept = round(folder.rng.uniform(-50, 50), 3)
            group.PixelValueTransformationSequence = [transformation]
        for group in dataset.SharedFunctionalGroupsSequence:
            group.pop("PixelValueTransformationSequence", None)

    folder.edit(change)


@enhanced(REFUSED)
def enhanced_rows_changed(folder):
    rows_changed_in_all(folder)


KINDS = [
    *((name, *pair, source) for source in ("brainix", "mprage", "supine", "rle", "jpeg_ls",
      "jpeg_2000") for name, pair in CLASSIC.items()),
    *((name, *pair, "enhanced") for name, pair in ENHANCED.items()),
]  # fmt: skip


def cases(count=300):
    """Every kind on some source, then kinds and sources by chance, each with its own seed."""
    rng = np.random.default_rng(20)
    numbers = rng.permutation(len(KINDS)).tolist()
    while len(numbers) < count:
        numbers.append(int(rng.integers(len(KINDS))))
    for seed, number in enumerate(numbers[:count]):
        name, mutation, outcome, source = KINDS[number]
        yield pytest.param(mutation, outcome, source, seed, id=f"{seed}-{name}-{source}")


def read(folder):
    """Volume and affine, as a user would be given them."""
    stack = choose(find_series(folder))
    return read_pixels(stack), stack.grid.affine


def frames_of(path):
    """Values, rescaled, and voxel-to-LPS matrix of each frame of a file, by pydicom alone."""
    dataset = pydicom.dcmread(path)
    pixels = np.atleast_3d(dataset.pixel_array.T).T
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    for number, array in enumerate(pixels):
        facts = pydicom.Dataset()
        for place in (shared[0], groups[number]) if groups else ():
            for element in place:
                if element.VR == "SQ" and len(element.value):
                    facts.update(element.value[0])
        facts = facts if groups else dataset
        array = array.astype(np.float64) * float(facts.get("RescaleSlope", 1))
        array += float(facts.get("RescaleIntercept", 0))
        cosines = np.array(facts.ImageOrientationPatient, dtype=float).reshape(2, 3)
        down, along = (float(value) for value in facts.PixelSpacing)
        place = np.array(facts.ImagePositionPatient, dtype=float)
        matrix = np.column_stack([cosines[0] * along, cosines[1] * down, place])
        yield dataset.SeriesInstanceUID, array.astype(np.float32).T, matrix


def truth(folder):
    """The frames of each series that is there."""
    series = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            for uid, array, matrix in frames_of(path):
                series.setdefault(uid, []).append((array, matrix))
        except pydicom.errors.InvalidDicomError:
            continue
    return series


def is_true(volume, affine, frames):
    """Whether a volume is these frames, all of them, each once and in its own place."""
    if len(frames) != volume.shape[2]:
        return False
    left = list(range(len(frames)))
    columns, rows, _ = volume.shape
    corners = np.array([[0, 0, 1], [columns - 1, 0, 1], [0, rows - 1, 1], [columns, rows, 1]]).T
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    for number in range(volume.shape[2]):
        place = lps @ [[1, 0, 0], [0, 1, 0], [0, 0, number], [0, 0, 1]]
        for frame in left:
            array, matrix = frames[frame]
            distance = np.linalg.norm((place - matrix) @ corners, axis=0).max()
            if distance < PLACE_MM and np.array_equal(array, volume[:, :, number]):
                left.remove(frame)
                break
    return not left


@pytest.mark.parametrize(("mutation", "outcome", "source", "seed"), list(cases()))
def test_a_damaged_series_is_refused_or_read_as_what_it_is(
    mutation, outcome, source, seed, sources, tmp_path
):
    shutil.copytree(sources / source, tmp_path / "series")
    before = read(tmp_path / "series")
    folder = Folder(tmp_path / "series", np.random.default_rng(seed))
    mutation(folder)
    try:
        volume, affine = read(folder.path)
    except InputError as error:
        assert outcome != SAME, str(error)
        assert str(error)
        return
    assert outcome != REFUSED
    assert volume.dtype == np.float32 and np.isfinite(volume).all()
    if outcome == SAME:
        assert np.array_equal(volume, before[0]) and np.array_equal(affine, before[1])
    assert any(is_true(volume, affine, frames) for frames in truth(folder.path).values())
