import copy

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from hagan_clinic.imageio.dicom.fingerprint import shows_the_same


@pytest.fixture(scope="module")
def scan(test_data):
    path = next(iter(sorted((test_data / "dicom/sag_mprage").glob("*.dcm"))[90:]))
    return pydicom.dcmread(path)


@pytest.fixture
def compared(scan, tmp_path):
    """A function that says whether a changed copy of a real instance shows the same."""

    def same(change):
        other = copy.deepcopy(scan)
        change(other)
        for name, one in (("one", scan), ("other", other)):
            one.save_as(tmp_path / name, enforce_file_format=True)
        return shows_the_same(tmp_path / "one", tmp_path / "other")

    return same


def corrected(one):
    one.PatientName, one.PatientID, one.StudyDate = "Corrected", "1", "20200101"
    one.ImagePositionPatient = [f"{float(value):.6e}" for value in one.ImagePositionPatient]


@pytest.mark.parametrize(
    "change",
    [corrected, lambda one: one.compress(RLELossless, generate_instance_uid=False)],
    ids=["corrected", "compressed"],
)
def test_another_encoding_or_a_corrected_header_shows_the_same(compared, change):
    assert compared(change)


def test_the_encoding_of_elements_does_not_matter(scan, tmp_path):
    for syntax, name in ((ImplicitVRLittleEndian, "one"), (ExplicitVRLittleEndian, "other")):
        one = copy.deepcopy(scan)
        one.file_meta.TransferSyntaxUID = syntax
        one.save_as(
            tmp_path / name,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=True,
            enforce_file_format=True,
        )
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()
    assert shows_the_same(tmp_path / "one", tmp_path / "other")


def one_pixel(one):
    pixels = bytearray(one.PixelData)
    pixels[5000] ^= 1
    one.PixelData = bytes(pixels)


def moved(one):
    x, y, z = one.ImagePositionPatient
    one.ImagePositionPatient = [x, y, float(z) + 0.01]


def scaled(one):
    one.RescaleSlope, one.RescaleIntercept = 2, 0


@pytest.mark.parametrize("change", [one_pixel, moved, scaled])
def test_another_pixel_place_or_scale_shows_something_else(compared, change):
    assert not compared(change)


def test_what_cannot_be_decoded_is_not_the_same(compared):
    def cut(one):
        one.PixelData = one.PixelData[:100]

    assert not compared(cut)


def test_frames_are_compared_where_they_are(test_data, tmp_path):
    folder = test_data / "dicom/xa30_enhanced/5_anat-T1w_acq-tfl"
    (path,) = [one for one in folder.iterdir() if pydicom.misc.is_dicom(one)]
    one = pydicom.dcmread(path)
    one.PatientName = "Corrected"
    one.save_as(tmp_path / "named")
    assert shows_the_same(path, tmp_path / "named")
    place = one.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0]
    place.ImagePositionPatient = [1, 2, 3]
    one.save_as(tmp_path / "moved")
    assert not shows_the_same(path, tmp_path / "moved")
