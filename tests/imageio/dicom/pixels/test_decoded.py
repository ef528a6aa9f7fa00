"""Voxels are what independent decoders find, in every transfer syntax."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import JPEG2000 as JPEG2000Lossy
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.pixels import read_pixels


def test_real_series_are_those_of_itk(test_data, read, by_itk):
    for name in ("brainix/flair", "sag_mprage"):
        folder = test_data / "dicom" / name
        array = read(folder)
        assert array.dtype == np.float32
        assert (array == by_itk(folder)).all()


def test_four_codecs_give_one_real_image(test_data, read, by_itk):
    folder = test_data / "dicom/edge/generic"
    volumes = [read(folder / f"compressed_{name}") for name in ("rle", "jpegls", "j2k", "jpeg")]
    expected = by_itk(folder / "compressed_rle/001")
    assert np.unique(expected).size > 100
    for volume in volumes:
        assert (volume == expected).all()


@pytest.mark.parametrize("kind", ["big_endian", "RLE", "jpeg_2k_lossless", "jpeg_ls_lossless"])
def test_every_frame_of_a_multi_frame_file_is_that_of_the_uncompressed_one(kind, test_data, single):
    folder = test_data / "dicom/pydicom_data"
    expected = pydicom.dcmread(folder / "emri_small.dcm").pixel_array.T
    assert (read_pixels(single(folder / f"emri_small_{kind}.dcm", 10)) == expected).all()


@pytest.mark.parametrize("name", ["MR2_J2KR", "MR2_J2KI", "JPEG2000_UNC"])
def test_single_files_are_those_of_itk(name, test_data, single):
    path = test_data / f"dicom/pydicom_data/{name}.dcm"
    expected = sitk.GetArrayFromImage(sitk.ReadImage(path)).T
    np.testing.assert_allclose(read_pixels(single(path)), expected, rtol=1e-6)


def test_overlay_planes_do_not_disturb(test_data, single):
    path = test_data / "dicom/pydicom_data/MR-SIEMENS-DICOM-WithOverlays.dcm"
    expected = sitk.GetArrayFromImage(sitk.ReadImage(path)).T
    assert (read_pixels(single(path)) == expected).all()


@pytest.mark.parametrize(
    "name",
    [
        "xa30_enhanced/5_anat-T1w_acq-tfl",
        "edge/philips_enhanced/anatomical/001_implicit",
        "edge/philips_enhanced/anatomical/001",
        "edge/siemens_multiframe/anatomical/001",
    ],
)
def test_enhanced_frames_are_rescaled_as_highdicom_does(name, test_data, read, by_highdicom):
    folder = test_data / "dicom" / name
    np.testing.assert_allclose(read(folder), by_highdicom(folder), rtol=1e-6)


@pytest.mark.parametrize("option", ["+te", "+ti", "+tb", "+td"])
def test_every_native_transfer_syntax_holds_the_same(option, series, read, by_itk, stored, convert):
    folder = convert("dcmconv", series(), option)
    syntax = pydicom.dcmread(folder / "0.dcm").file_meta.TransferSyntaxUID
    assert (syntax == ExplicitVRLittleEndian) == (option == "+te")
    assert (read(folder) == stored).all()
    assert (by_itk(folder) == stored).all()


@pytest.mark.parametrize(
    ("tool", "options"),
    [
        ("dcmconv", ["+tb"]),
        ("dcmcrle", []),
        ("dcmcjpeg", ["+e1"]),
        ("dcmcjpeg", ["+el", "+sv", "6"]),
        ("dcmcjpls", []),
    ],
)
def test_what_dcmtk_wrote_without_loss_is_read_as_it_was(
    kind, tool, options, series, read, by_itk, convert
):
    plain = series(kind)
    expected = by_itk(plain)
    assert (expected.min() < 0) == (kind.__name__ == "negative")
    assert (read(plain) == expected).all()
    assert (read(convert(tool, plain, *options)) == expected).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_what_pydicom_wrote_without_loss_is_read_as_it_was(kind, syntax, series, read, by_itk):
    def compress(dataset, number):
        kind(dataset, number)
        dataset.compress(syntax, generate_instance_uid=False)

    folder = series(compress, "compressed")
    expected = by_itk(series(kind, "plain"))
    assert (read(folder) == expected).all()
    assert (by_itk(folder) == expected).all()


def test_lossy_jpeg_2000_is_that_of_itk(kind, series, read, by_itk):
    def compress(dataset, number):
        kind(dataset, number)
        dataset.compress(JPEG2000Lossy, j2k_psnr=[60], generate_instance_uid=False)

    folder = series(compress)
    array = read(folder)
    assert (array == by_itk(folder)).all()
    assert 0 < np.abs(array - by_itk(series(kind, "plain"))).max() < 40


@pytest.mark.parametrize(
    ("tool", "options", "back"),
    [
        ("dcmcjpeg", ["+eb"], "dcmdjpeg"),
        ("dcmcjpeg", ["+ee", "+be"], "dcmdjpeg"),
        ("dcmcjpls", ["+en", "+md", "3"], "dcmdjpls"),
    ],
)
def test_lossy_jpeg_is_that_of_dcmtk(
    tool, options, back, series, with_array, read, by_itk, convert
):
    def eight_bits(dataset, number):
        with_array(dataset, (dataset.pixel_array >> 4).astype(np.uint8))

    compressed = convert(tool, series(eight_bits), *options)
    array, expected = read(compressed), by_itk(convert(back, compressed))
    # JPEG leaves the rounding of its transform to the decoder.
    assert np.abs(array - expected).max() <= (1 if back == "dcmdjpeg" else 0)
    assert np.abs(array - by_itk(compressed.with_name("series"))).max() > 0


def test_fragments_are_put_together(series, read, stored, convert):
    folder = convert("dcmcjpls", series(), "+fs", "1")
    data = pydicom.dcmread(folder / "2.dcm").PixelData
    assert data.count(b"\xfe\xff\x00\xe0") > 2
    assert (read(folder) == stored).all()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian),
    ],
)
def test_data_encoded_otherwise_than_their_syntax_says_are_read(
    written, told, series, read, stored
):
    def change(dataset, number):
        dataset.file_meta.TransferSyntaxUID = written

    folder = series(change)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        body = path.read_bytes()[132 + 12 + dataset.file_meta.FileMetaInformationGroupLength :]
        dataset.file_meta.TransferSyntaxUID = told
        buffer = DicomBytesIO()
        write_file_meta_info(buffer, dataset.file_meta)
        path.write_bytes(bytes(128) + b"DICM" + buffer.getvalue() + body)
    assert (read(folder) == stored).all()


def test_each_slice_is_told_to_the_caller(series, head):
    calls = []
    (only,) = find_series(series()).series
    read_pixels(stack(only), lambda: calls.append(None))
    assert len(calls) == len(head)
