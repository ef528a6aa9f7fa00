import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from functools import partial

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.headers import MAX_HEADER, DamagedFileError, read_header


@pytest.fixture
def raw(make_draft):
    """The bytes of a file, in a transfer syntax."""

    def written(syntax=None, **elements):
        (dataset,) = make_draft(count=1, **elements)
        buffer = io.BytesIO()
        if syntax is not None:
            dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    return written


def _read(content):
    return read_header(partial(io.BytesIO, content), "IM1")


@pytest.mark.parametrize(
    "syntax",
    [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_every_element_but_pixels_and_private_ones_is_read(raw, syntax):
    header = _read(raw(syntax))
    assert header.file_meta.TransferSyntaxUID == (syntax or "1.2.840.10008.1.2.1")
    assert header.Rows == 6
    assert header.ImagePositionPatient[0] == -4
    assert "PixelData" not in header


def test_private_elements_are_left_out(make_draft):
    (dataset,) = make_draft(count=1)
    dataset.private_block(0x0029, "SITE", create=True).add_new(1, "LO", "Doe^Jane")
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert not [element for element in _read(buffer.getvalue()) if element.tag.is_private]


@pytest.mark.parametrize("name", ["PatientName", "InstitutionName"])
@pytest.mark.parametrize(
    ("charset", "told"), [("ISO_IR 192", "Ångström^Zoë"), ("ISO 2022 IR 87", "山田^太郎")]
)
def test_other_alphabets_are_read(raw, name, charset, told):
    charset = ["", charset] if "2022" in charset else charset
    assert str(_read(raw(SpecificCharacterSet=charset, **{name: told}))[name].value) == told


@pytest.mark.parametrize("content", [b"", b"\0" * 128, b"\0" * 128 + b"DICX", b"<html>" * 100])
def test_what_is_not_dicom_is_refused(content):
    with pytest.raises(InputError, match="IM1: is not DICOM") as caught:
        _read(content)
    assert not isinstance(caught.value, DamagedFileError)


def test_a_file_cut_anywhere_is_refused(raw):
    content = raw()
    assert _read(content)
    for length in range(132, len(content)):
        with pytest.raises(DamagedFileError, match="IM1: "):
            _read(content[:length])


def test_a_deflated_file_cut_anywhere_is_refused(raw):
    content = raw(DeflatedExplicitVRLittleEndian)
    for length in range(132, len(content) - 2):
        with pytest.raises(DamagedFileError, match="IM1: "):
            _read(content[:length])


def test_a_compressed_file_cut_within_its_pixels_is_refused_by_its_series(test_data):
    path = test_data / "dicom/pydicom_data/emri_small_jpeg_2k_lossless.dcm"
    content = path.read_bytes()
    assert _read(content)
    with pytest.raises(DamagedFileError, match="truncated: it ends within its comp") as caught:
        _read(content[:-2000])
    assert caught.value.uid == pydicom.dcmread(path).SeriesInstanceUID


def test_pixels_that_are_fewer_than_declared_are_refused_by_their_series(raw):
    with pytest.raises(DamagedFileError, match="95 bytes of pixels where it declares 96") as caught:
        _read(raw()[:-1])
    assert caught.value.uid == "1.2.3"


def _deflated(content, zeros):
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [deflate.compress(content), *(deflate.compress(bytes(2**20)) for _ in range(zeros))]
    return b"".join([*parts, deflate.flush()])


def test_a_deflated_bomb_takes_no_more_than_a_header(raw):
    plain = raw()
    first = plain.index(b"\x08\x00\x08\x00CS")  # ImageType
    file = raw(DeflatedExplicitVRLittleEndian)
    (group_length,) = struct.unpack("<L", file[140:144])
    meta = file[: 144 + group_length]
    large = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 2**28)
    beyond_pixels, in_header = (_deflated(begin, 256) for begin in (plain[first:], large))
    tracemalloc.start()
    try:
        assert _read(meta + beyond_pixels).Rows == 6
        with pytest.raises(DamagedFileError, match="header of more than the 64 MiB"):
            _read(meta + in_header)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_HEADER
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [2**31, 0xFFFFFFFE])
def test_an_element_of_false_length_takes_no_memory(raw, length):
    content = raw()
    end = content.index(b"\xe0\x7f\x10\x00OW")
    hostile = content[:end] + struct.pack("<HH2sHL", 0x0099, 0x1010, b"OB", 0, length)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="header of more than the 64 MiB"):
            _read(hostile + b"x")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_sequences_nested_without_end_are_refused(raw):
    content = raw()
    start = content.index(b"\x08\x00\x08\x00CS")
    nested = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    nested += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(DamagedFileError, match="IM1: "):
        _read(content[:start] + nested * 5000 + content[start:])


def test_a_message_quotes_no_patient(raw):
    content = raw(PatientName="Doe^Jane")
    for place in range(132, len(content), 3):
        changed = content[:place] + b"\xff" + content[place + 1 :]
        try:
            _read(changed)
        except InputError as error:
            assert "Doe" not in str(error) and "4711" not in str(error)


def test_nothing_is_printed_of_what_pydicom_warns_of(raw, tmp_path):
    """Its warnings quote values, and a node's log holds a JSON object a line."""
    content = raw(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    for charset in (b"ISO IR 192", b"ISO_IR 999", b"ISO_IR 192"):
        path = tmp_path / charset.decode().replace(" ", "-")
        path.write_bytes(content.replace(b"ISO_IR 100", charset))
    code = (
        "import sys\n"
        "from functools import partial\n"
        "from hagan_clinic.imageio.dicom.headers import read_header\n"
        "for path in sys.argv[1:]:\n"
        "    str(read_header(partial(open, path, 'rb'), 'IM1').PatientName)\n"
    )
    paths = map(str, tmp_path.iterdir())
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
