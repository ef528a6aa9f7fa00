"""Compressed frames are whole, in their order, and decoded by what is installed, or refused."""

import struct
import sys
from contextlib import suppress
from io import BytesIO

import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.pixels import read_pixels


@pytest.mark.parametrize("cut", [2, 40, 400])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_a_compressed_frame_cut_off_is_refused(syntax, cut, series, convert, refusal):
    folder = series() if syntax == "jpeg" else None
    source = convert("dcmcjpeg", folder, "+e1") if folder else None

    def change(dataset, number):
        if source:
            (frame,) = generate_frames(
                pydicom.dcmread(source / f"{number}.dcm").PixelData, number_of_frames=1
            )
            dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        else:
            dataset.compress(syntax, generate_instance_uid=False)
            (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([frame[: -cut if number == 3 else None]])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True

    message = refusal(series(change, "cut"))
    assert message.startswith("3.dcm: ")
    assert "copy it again" in message


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("table", [False, True])
def test_a_compressed_frame_missing_or_too_many_is_refused(table, count, syntax, series, refusal):
    def change(dataset, number):
        dataset.compress(syntax, generate_instance_uid=False)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        if number == 1:
            data = encapsulate([frame] * 2, has_bot=table)
            dataset.PixelData = data if count else data[: 8 + 8 * table]

    folder = series(change)
    assert refusal(folder).startswith("1.dcm: ")


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 10], "names 2 places for 10 frames"),
        ([1, *range(9)], "names 10 places for 10 frames, expected each frame's first of 10"),
    ],
)
def test_a_false_offset_table_is_refused(offsets, message, test_data, tmp_path, single):
    dataset = pydicom.dcmread(test_data / "dicom/pydicom_data/emri_small_RLE.dcm")
    data = dataset.PixelData
    assert data[4:8] == struct.pack("<I", 40)
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    dataset.PixelData = data[:4] + struct.pack("<I", len(table)) + table + data[48:]
    dataset.save_as(tmp_path / "false.dcm")
    with pytest.raises(InputError, match=f"false.dcm, frame 1: its offset table {message}"):
        read_pixels(single(tmp_path / "false.dcm", 10))


def test_frames_in_another_order_than_their_table_says_are_refused(test_data, tmp_path, single):
    dataset = pydicom.dcmread(test_data / "dicom/pydicom_data/emri_small_RLE.dcm")
    data = dataset.PixelData
    offsets = struct.unpack("<10I", data[8:48])
    swapped = [offsets[1], offsets[0], *offsets[2:]]
    dataset.PixelData = data[:8] + struct.pack("<10I", *swapped) + data[48:]
    dataset.save_as(tmp_path / "swapped.dcm")
    with pytest.raises(InputError, match="in order"):
        read_pixels(single(tmp_path / "swapped.dcm", 10))


def test_an_extended_offset_table_is_followed(test_data, tmp_path, single):
    path = test_data / "dicom/pydicom_data/emri_small_RLE.dcm"
    dataset = pydicom.dcmread(path)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=10))
    data, offsets, lengths = encapsulate_extended(frames)
    dataset.PixelData = data
    dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    dataset.save_as(tmp_path / "extended.dcm")
    expected = read_pixels(single(path, 10))
    assert (read_pixels(single(tmp_path / "extended.dcm", 10)) == expected).all()
    dataset.ExtendedOffsetTable = offsets[8:16] + offsets[:8] + offsets[16:]
    dataset.save_as(tmp_path / "swapped.dcm")
    with pytest.raises(InputError, match="offset table"):
        read_pixels(single(tmp_path / "swapped.dcm", 10))


@pytest.mark.parametrize(
    ("syntax", "module", "name"),
    [
        (JPEG2000Lossless, "openjpeg", "JPEG 2000 Image Compression"),
        (JPEGLSLossless, "jpeg_ls", "JPEG-LS Lossless"),
        ("jpeg", "gdcm", "JPEG Lossless"),
    ],
)
def test_a_decoder_that_is_missing_is_named(
    syntax, module, name, series, monkeypatch, convert, refusal
):
    def change(dataset, number):
        if syntax != "jpeg":
            dataset.compress(syntax, generate_instance_uid=False)

    folder = series(change)
    if syntax == "jpeg":
        folder = convert("dcmcjpeg", folder, "+e1")
    monkeypatch.setitem(sys.modules, module, None)
    message = refusal(folder)
    assert f"0.dcm: is compressed as {name}" in message
    assert 'pip install "hagan-clinic[dicom-codecs]"' in message


@pytest.mark.parametrize(
    ("uid", "message"),
    [
        (MPEG2MPML, "is compressed as MPEG2 Main Profile / Main Level, which is not"),
        ("1.2.840.113619.5.2", "has the transfer syntax 1.2.840.113619.5.2, which is not known"),
        (JPEG2000Lossless, "0.dcm: has pixel data of 5280 bytes that are not in fragments"),
    ],
)
def test_transfer_syntaxes_that_are_not_read_are_named(uid, message, series, refusal):
    folder = series()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        body = path.read_bytes()[132 + 12 + dataset.file_meta.FileMetaInformationGroupLength :]
        dataset.file_meta.TransferSyntaxUID = uid
        buffer = BytesIO()
        pydicom.filewriter.write_file_meta_info(buffer, dataset.file_meta)
        path.write_bytes(bytes(128) + b"DICM" + buffer.getvalue() + body)
    assert message in refusal(folder)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_nothing_is_printed_when_a_decoder_fails(syntax, series, capfd, read, convert):
    def change(dataset, number):
        if syntax != "jpeg":
            dataset.compress(syntax, generate_instance_uid=False)

    folder = series(change)
    if syntax == "jpeg":
        folder = convert("dcmcjpeg", folder, "+e1")
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([frame[:300] + bytes(200) + frame[500:]])
        dataset.save_as(path)
    with pytest.raises(InputError) if syntax != JPEG2000Lossless else suppress(InputError):
        read(folder)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")


def test_a_tile_that_is_missing_is_refused(series, read, stored, refusal):
    """openjpeg would leave its place black."""

    def tiled(dataset, cut):
        buffer = BytesIO()
        image = Image.fromarray(dataset.pixel_array)
        image.save(buffer, "JPEG2000", no_jp2=True, tile_size=(dataset.Columns, dataset.Rows // 2))
        data = buffer.getvalue()
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        last = data.rindex(b"\xff\x90\x00\x0a")
        dataset.PixelData = encapsulate([data[:last] + data[-2:] if cut else data])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    whole = series(lambda dataset, number: tiled(dataset, False), "whole")
    assert (read(whole) == stored).all()
    message = refusal(series(lambda dataset, number: tiled(dataset, number == 2)))
    assert message.startswith("2.dcm: has 1 of the 2 tiles that its JPEG 2000 data declare")


def test_jpeg_2000_in_a_file_format_of_its_own_is_refused(series, refusal):
    def change(dataset, number):
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        box = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(4) + b"none"
        dataset.PixelData = encapsulate([box + frame])

    assert "does not begin as a JPEG 2000 codestream does" in refusal(series(change))
