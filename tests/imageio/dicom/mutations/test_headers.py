"""Headers that tell of the pixels, or of themselves, what is not so."""

import struct
from io import BytesIO

import pydicom


def rows_changed_in_one(folder):
    change = int(folder.rng.choice([-1, 1, 7, 60000 - 100]))
    folder.edit(lambda dataset: setattr(dataset, "Rows", dataset.Rows + change), folder.some())


def rows_changed_in_all(folder):
    change = int(folder.rng.choice([-5, -1, 1, 7, 60000]))
    folder.edit(lambda dataset: setattr(dataset, "Rows", dataset.Rows + change))


def columns_changed_in_all(folder):
    change = int(folder.rng.choice([-5, -1, 1, 7, 60000]))
    folder.edit(lambda dataset: setattr(dataset, "Columns", dataset.Columns + change))


def rows_and_columns_swapped_in_all(folder):
    """Pixels that are native or run lengths do not tell how long a row is."""

    def change(dataset):
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows

    folder.edit(change)


def rows_swapped_for_columns_in_one(folder):
    def change(dataset):
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows

    folder.edit(change, folder.some())


def bits_allocated_changed(folder):
    bits = int(folder.rng.choice([0, 1, 8, 12, 24, 32, 64]))

    def change(dataset):
        dataset.BitsAllocated = bits
        dataset.BitsStored = min(dataset.BitsStored, bits)
        dataset.HighBit = max(dataset.BitsStored - 1, 0)

    folder.edit(change)


def sign_changed_in_one(folder):
    folder.edit(lambda dataset: setattr(dataset, "PixelRepresentation", 1), folder.some())


def sign_changed_in_all(folder):
    folder.edit(lambda dataset: setattr(dataset, "PixelRepresentation", 1))


def bits_stored_changed_in_one(folder):
    def change(dataset):
        dataset.BitsStored, dataset.HighBit = 7, 6

    folder.edit(change, folder.some())


def bits_stored_changed_in_all(folder):
    def change(dataset):
        dataset.BitsStored, dataset.HighBit = 7, 6

    folder.edit(change)


def each_slice_rescaled(folder):
    def change(dataset):
        dataset.RescaleSlope = round(folder.rng.uniform(0.1, 4), 6)
        dataset.RescaleIntercept = round(folder.rng.uniform(-50, 50), 3)

    folder.edit(change)


def one_slice_rescaled(folder):
    def change(dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, 1

    folder.edit(change, folder.some())


def one_of_other_colours(folder):
    def change(dataset):
        dataset.PhotometricInterpretation = str(folder.rng.choice(["MONOCHROME1", "RGB", "X"]))

    folder.edit(change, folder.some())


def all_monochrome1(folder):
    folder.edit(lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))


def frames_declared(folder):
    frames = int(folder.rng.choice([2, 3, 100000]))
    folder.edit(lambda dataset: setattr(dataset, "NumberOfFrames", frames), folder.some())


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


def pixel_length_changed(folder):
    path = folder.some()
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\x00O") + 8
    (length,) = struct.unpack("<I", content[at : at + 4])
    length = (length + int(folder.rng.choice([-2, -200, 2, 2**31]))) % 2**32
    path.write_bytes(content[:at] + struct.pack("<I", length) + content[at + 4 :])


def header_bytes_changed(folder):
    for _ in range(3):
        path = folder.rng.choice(folder.files)
        content = bytearray(path.read_bytes())
        end = content.rindex(b"\xe0\x7f\x10\x00O")
        content[folder.rng.integers(132, end)] = folder.rng.integers(256)
        path.write_bytes(content)


MUTATIONS = {
    "same": [all_monochrome1],
    "refused": [
        rows_changed_in_one,
        rows_changed_in_all,
        columns_changed_in_all,
        rows_swapped_for_columns_in_one,
        bits_allocated_changed,
        sign_changed_in_one,
        one_slice_rescaled,
        one_of_other_colours,
        frames_declared,
        transfer_syntax_changed,
        pixel_length_changed,
    ],
    "true": [
        rows_and_columns_swapped_in_all,
        sign_changed_in_all,
        bits_stored_changed_in_one,
        bits_stored_changed_in_all,
        each_slice_rescaled,
        header_bytes_changed,
    ],
}
SOURCES = ["brainix", "mprage", "supine", "rle", "jpeg_ls", "jpeg_2000"]


def test_a_series_with_false_headers_is_refused_or_read_as_what_it_is(
    mutation, outcome, series, seed, assess
):
    assess(mutation, outcome, series, seed)
