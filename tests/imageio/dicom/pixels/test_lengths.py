"""What a header declares is compared with what is there, before memory is taken for it."""

import struct
import tracemalloc
import zlib
from contextlib import contextmanager

import pydicom
import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.pixels import read_pixels

MIB = 2**20


@contextmanager
def memory_below(limit):
    """See that no more bytes are taken at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (20000, 20000), (61, 44), (59, 44)])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_a_false_matrix_is_refused_before_memory_is_taken(
    syntax, rows, columns, series, convert, refusal
):
    def change(dataset, number):
        if syntax not in (None, "jpeg"):
            dataset.compress(syntax, generate_instance_uid=False)
        if syntax != "jpeg":
            dataset.Rows, dataset.Columns = rows, columns

    folder = series(change)
    if syntax == "jpeg":
        folder = convert("dcmcjpeg", folder, "+e1")
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.Rows, dataset.Columns = rows, columns
            dataset.save_as(path)
    with memory_below(8 * MIB):
        message = refusal(folder)
    assert "0.dcm: " in message


def test_a_length_that_lies_takes_no_memory(series):
    folder = series(lambda dataset, number: dataset.update({"Rows": 10000, "Columns": 10000}))
    stacks = stack(find_series(folder).series[0])
    for path in folder.iterdir():
        content = path.read_bytes()
        tag = content.rindex(b"\xe0\x7f\x10\x00OW")
        length = struct.pack("<I", 10000 * 10000 * 2)
        path.write_bytes(content[: tag + 8] + length + content[tag + 12 :])
    with (
        memory_below(2**24 + 8 * MIB),
        pytest.raises(InputError, match=r"is truncated: 5280 of 200000000 bytes"),
    ):
        read_pixels(stacks)


def test_a_file_cut_off_after_its_header_was_read_is_refused_by_name(series):
    folder = series()
    stacks = stack(find_series(folder).series[0])
    path = folder / "3.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"^3.dcm: is truncated: 5180 of 5280 bytes"):
        read_pixels(stacks)
    path.unlink()
    with pytest.raises(InputError, match=r"^3.dcm: cannot be read \(No such file"):
        read_pixels(stacks)


def test_a_multi_frame_file_that_is_cut_off_is_refused(test_data, single):
    path = test_data / "dicom/pydicom_data/emri_small_jpeg_2k_lossless_too_short.dcm"
    with pytest.raises(InputError, match="is truncated"):
        read_pixels(single(path, 10))


def test_too_few_frames_are_refused(test_data, single):
    path = test_data / "dicom/pydicom_data/emri_small.dcm"
    made = single(path, 11)
    with pytest.raises(InputError, match="has 10 frames, expected 11"):
        read_pixels(made)


@pytest.mark.parametrize("frames", [11, 2**30])
def test_more_frames_than_there_are_bytes_are_refused(frames, test_data, single):
    made = single(test_data / "dicom/pydicom_data/emri_small.dcm", 10)
    made.series.header.NumberOfFrames = frames
    with pytest.raises(InputError, match=r"has 81920 bytes of pixel data|more than the 536870912"):
        read_pixels(made)


def test_a_deflated_bomb_is_bounded(series, convert):
    folder = convert("dcmconv", series(), "+td")
    stacks = stack(find_series(folder).series[0])
    path = folder / "1.dcm"
    content = path.read_bytes()
    start = 132 + 12 + struct.unpack("<I", content[140:144])[0]
    body = zlib.decompress(content[start:], -15)
    tag = body.rindex(b"\xe0\x7f\x10\x00OW")
    length = 400 * MIB
    deflate = zlib.compressobj(9, wbits=-15)
    bomb = deflate.compress(body[: tag + 8] + struct.pack("<I", length))
    bomb += b"".join(deflate.compress(bytes(MIB)) for _ in range(400)) + deflate.flush()
    path.write_bytes(content[:start] + bomb)
    assert len(bomb) < MIB
    with (
        memory_below(128 * MIB),
        pytest.raises(InputError, match=r"^1.dcm: inflates to more than the 67114144 bytes"),
    ):
        read_pixels(stacks)


def test_deflated_data_that_are_damaged_or_cut_off_are_refused(series, convert):
    folder = convert("dcmconv", series(), "+td")
    stacks = stack(find_series(folder).series[0])
    path = folder / "1.dcm"
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    with pytest.raises(InputError, match=r"^1.dcm: is truncated: its deflated data do not end"):
        read_pixels(stacks)
    path.write_bytes(content[:-50] + b"\xff" * 50)
    with pytest.raises(InputError, match=r"^1.dcm: is (damaged|truncated)"):
        read_pixels(stacks)
