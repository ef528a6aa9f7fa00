"""Voxels are what independent decoders find; what is not there is refused by its slice's name."""

import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import JPEG2000 as JPEG2000Lossy
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.pixels import read_pixels
from hagan_clinic.imageio.dicom.series import Instance, Series, Slice, Stack
from hagan_clinic.volume import Grid

MIB = 2**20
ROWS, COLUMNS, SLICES = 60, 44, 5


@pytest.fixture(scope="session")
def head(test_data):
    """Some slices of a real T1, with every sixth pixel, as data sets."""
    paths = sorted((test_data / "dicom/brainix/t1").glob("*.dcm"))[8 : 8 + SLICES]
    return sorted(map(small, paths), key=along_normal)


def along_normal(dataset):
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    return np.cross(*cosines) @ np.array(dataset.ImagePositionPatient, dtype=float)


def small(path):
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array[100::6, 120::6][:ROWS, :COLUMNS]
    spacing = [6 * value for value in dataset.PixelSpacing]
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = *array.shape, spacing
    dataset.remove_private_tags()
    dataset.PixelData = array.tobytes()
    return dataset


@pytest.fixture
def series(head, tmp_path):
    """A function that writes the slices, each changed by a function, into a new folder."""

    def written(change=lambda dataset, number: None, name="series"):
        folder = tmp_path / name
        folder.mkdir()
        for number, slice_ in enumerate(head):
            copy = pydicom.dcmread(as_file(slice_))
            change(copy, number)
            copy.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        return folder

    return written


def as_file(dataset):
    buffer = BytesIO()
    dataset.save_as(buffer)
    buffer.seek(0)
    return buffer


def with_array(dataset, array, signed=False, stored=None):
    dataset.PixelData = array.astype(f"<{'i' if signed else 'u'}{array.itemsize}").tobytes()
    dataset.BitsAllocated = 8 * array.itemsize
    dataset.BitsStored = stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(signed)
    return dataset


def read(folder):
    """The volume of the one series in a folder."""
    found = find_series(folder)
    if found.damaged:
        raise InputError(found.damaged[0].reason)
    (only,) = found.series
    return read_pixels(stack(only))


def by_itk(folder):
    """The same by SimpleITK, in the order of positions along the normal."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.GetArrayFromImage(sitk.ReadImage(names)).T


def by_highdicom(folder):
    """The same by highdicom, frame by frame in the order of our stack."""
    (only,) = find_series(folder).series
    frames = {i.name: highdicom.imread(folder / i.name).get_frames() for i in only.instances}
    return np.stack([frames[s.instance.name][s.frame] for s in stack(only).slices]).T


def stored(head):
    return np.stack([slice_.pixel_array for slice_ in head]).T


def convert(tool, folder, *options):
    """Run a tool of dcmtk on every file of a folder."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} of dcmtk is not installed")
    result = folder.with_name(f"{folder.name}_{tool}")
    result.mkdir()
    for path in folder.iterdir():
        command = [tool, *options, str(path), str(result / path.name)]
        subprocess.run(command, check=True, capture_output=True)
    return result


def single(path, frames=1):
    """A stack of one file as it stands, whatever its geometry is."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    instance = Instance(path.name, partial(path.open, "rb"), header)
    slices = tuple(Slice(instance, number, pydicom.Dataset()) for number in range(frames))
    grid = Grid((header.Columns, header.Rows, frames), np.eye(4))
    return Stack(Series("1.2", (instance,)), slices, grid)


def test_real_series_are_those_of_itk(test_data):
    for name in ("brainix/flair", "sag_mprage"):
        folder = test_data / "dicom" / name
        array = read(folder)
        assert array.dtype == np.float32
        assert (array == by_itk(folder)).all()


def test_four_codecs_give_one_real_image(test_data):
    folder = test_data / "dicom/edge/generic"
    volumes = [read(folder / f"compressed_{name}") for name in ("rle", "jpegls", "j2k", "jpeg")]
    expected = by_itk(folder / "compressed_rle/001")
    assert np.unique(expected).size > 100
    for volume in volumes:
        assert (volume == expected).all()


@pytest.mark.parametrize("kind", ["big_endian", "RLE", "jpeg_2k_lossless", "jpeg_ls_lossless"])
def test_every_frame_of_a_multi_frame_file_is_that_of_the_uncompressed_one(kind, test_data):
    folder = test_data / "dicom/pydicom_data"
    expected = pydicom.dcmread(folder / "emri_small.dcm").pixel_array.T
    assert (read_pixels(single(folder / f"emri_small_{kind}.dcm", 10)) == expected).all()


@pytest.mark.parametrize("name", ["MR2_J2KR", "MR2_J2KI", "JPEG2000_UNC"])
def test_single_files_are_those_of_itk(name, test_data):
    path = test_data / f"dicom/pydicom_data/{name}.dcm"
    expected = sitk.GetArrayFromImage(sitk.ReadImage(path)).T
    np.testing.assert_allclose(read_pixels(single(path)), expected, rtol=1e-6)


def test_overlay_planes_do_not_disturb(test_data):
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
def test_enhanced_frames_are_rescaled_as_highdicom_does(name, test_data):
    folder = test_data / "dicom" / name
    np.testing.assert_allclose(read(folder), by_highdicom(folder), rtol=1e-6)


@pytest.mark.parametrize("option", ["+te", "+ti", "+tb", "+td"])
def test_every_native_transfer_syntax_holds_the_same(option, series, head):
    folder = convert("dcmconv", series(), option)
    syntax = pydicom.dcmread(folder / "0.dcm").file_meta.TransferSyntaxUID
    assert (syntax == ExplicitVRLittleEndian) == (option == "+te")
    assert (read(folder) == stored(head)).all()
    assert (by_itk(folder) == stored(head)).all()


def positive(dataset, number):
    del number


def negative(dataset, number):
    """Signed values down to the lowest."""
    values = dataset.pixel_array.astype(np.int16) - 900
    values[0, :2] = -2048, 2047
    with_array(dataset, values, signed=True, stored=12)


@pytest.mark.parametrize("change", [positive, negative])
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
def test_what_dcmtk_wrote_without_loss_is_read_as_it_was(change, tool, options, series):
    plain = series(change)
    expected = by_itk(plain)
    assert (expected.min() < 0) == (change is negative)
    assert (read(plain) == expected).all()
    assert (read(convert(tool, plain, *options)) == expected).all()


@pytest.mark.parametrize("change", [positive, negative])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_what_pydicom_wrote_without_loss_is_read_as_it_was(change, syntax, series):
    def compress(dataset, number):
        change(dataset, number)
        dataset.compress(syntax, generate_instance_uid=False)

    folder = series(compress, "compressed")
    expected = by_itk(series(change, "plain"))
    assert (read(folder) == expected).all()
    assert (by_itk(folder) == expected).all()


@pytest.mark.parametrize("change", [positive, negative])
def test_lossy_jpeg_2000_is_that_of_itk(change, series):
    def compress(dataset, number):
        change(dataset, number)
        dataset.compress(JPEG2000Lossy, j2k_psnr=[60], generate_instance_uid=False)

    folder = series(compress)
    array = read(folder)
    assert (array == by_itk(folder)).all()
    assert 0 < np.abs(array - by_itk(series(change, "plain"))).max() < 40


def eight_bits(dataset, number):
    del number
    with_array(dataset, (dataset.pixel_array >> 4).astype(np.uint8))


@pytest.mark.parametrize(
    ("tool", "options", "back"),
    [
        ("dcmcjpeg", ["+eb"], "dcmdjpeg"),
        ("dcmcjpeg", ["+ee", "+be"], "dcmdjpeg"),
        ("dcmcjpls", ["+en", "+md", "3"], "dcmdjpls"),
    ],
)
def test_lossy_jpeg_is_that_of_dcmtk(tool, options, back, series):
    compressed = convert(tool, series(eight_bits), *options)
    array, expected = read(compressed), by_itk(convert(back, compressed))
    # JPEG leaves the rounding of its transform to the decoder.
    assert np.abs(array - expected).max() <= (1 if back == "dcmdjpeg" else 0)
    assert np.abs(array - by_itk(compressed.with_name("series"))).max() > 0


def test_fragments_are_put_together(series, head):
    folder = convert("dcmcjpls", series(), "+fs", "1")
    data = pydicom.dcmread(folder / "2.dcm").PixelData
    assert data.count(b"\xfe\xff\x00\xe0") > 2
    assert (read(folder) == stored(head)).all()


@pytest.mark.parametrize("slopes", [[1, 1, 1, 1, 1], [0.5, 1, 1.25, 3, 0.125]])
def test_every_slice_is_rescaled_by_its_own_slope(slopes, series):
    def change(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[number], -10 * (number + 1)

    folder = series(change)
    array = read(folder)
    assert (array == by_itk(folder)).all()
    assert array.min() < 0


def test_a_slope_or_an_intercept_alone_is_read(series, head):
    folder = series(lambda dataset, number: setattr(dataset, "RescaleSlope", 2), "slope")
    assert (read(folder) == 2.0 * stored(head)).all()
    folder = series(lambda dataset, number: setattr(dataset, "RescaleIntercept", -3), "intercept")
    assert (read(folder) == stored(head) - 3.0).all()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_every_slice_may_store_as_many_bits_as_its_values_take(syntax, series, head):
    def change(dataset, number):
        dataset.BitsStored = int(dataset.pixel_array.max()).bit_length()
        dataset.HighBit = dataset.BitsStored - 1
        told.add(dataset.BitsStored)
        if syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)

    told = set()
    assert (read(series(change)) == stored(head)).all()
    assert len(told) > 1


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_slice_that_holds_more_bits_than_it_says_is_refused_among_others(syntax, series):
    def change(dataset, number):
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        if number == 2:
            dataset.BitsStored, dataset.HighBit = 4, 3

    assert refusal(series(change)).startswith("2.dcm: holds more than the 4 bits")


@pytest.mark.parametrize(
    "excess", [b"\0" * 16, b"\x20" * 16, b"\0" * 2 * COLUMNS * 9], ids=["zeros", "blanks", "rows"]
)
def test_what_pads_pixel_data_is_passed_over(excess, series, head):
    def change(dataset, number):
        dataset.PixelData += excess

    assert (read(series(change)) == stored(head)).all()


@pytest.mark.parametrize("rows", [1, ROWS // 2])
def test_rows_behind_those_declared_are_no_padding(rows, series):
    def change(dataset, number):
        dataset.Rows -= rows

    whole, left = 2 * ROWS * COLUMNS, 2 * (ROWS - rows) * COLUMNS
    assert f"has {whole} bytes of pixel data where its header declares" in refusal(series(change))
    assert f"bits, {left} bytes; copy it again" in refusal(series(change, "again"))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian),
    ],
)
def test_data_encoded_otherwise_than_their_syntax_says_are_read(written, told, series, head):
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
    assert (read(folder) == stored(head)).all()


def test_monochrome1_is_not_inverted(series, head):
    def change(dataset, number):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    folder = series(change)
    assert (read(folder) == stored(head)).all()
    assert (by_highdicom(folder) == stored(head)).all()


def with_junk(dataset, number):
    """Noise in the bits that are not stored."""
    rng = np.random.default_rng(number)
    words = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
    words = words | rng.integers(0, 16, words.size, dtype=np.uint16) << 12
    dataset.PixelData = words.astype("<u2").tobytes()


@pytest.mark.parametrize("kind", [positive, negative])
@pytest.mark.parametrize("option", ["+te", "+tb", RLELossless])
def test_bits_that_are_not_stored_do_not_count(kind, option, series):
    def change(dataset, number):
        kind(dataset, number)
        with_junk(dataset, number)
        if option == RLELossless:
            dataset.compress(option, generate_instance_uid=False)

    folder = series(change, "junk")
    if option != RLELossless:
        folder = convert("dcmconv", folder, option)
    assert (read(folder) == by_itk(series(kind, "plain"))).all()


@pytest.mark.parametrize("kind", [positive, negative])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_compressed_values_beyond_the_stored_bits_are_refused(kind, syntax, series):
    """Decoders differ in what they make of them."""

    def change(dataset, number):
        kind(dataset, number)
        with_junk(dataset, number)
        if syntax != "jpeg":
            dataset.BitsStored, dataset.HighBit = 16, 15
            dataset.compress(syntax, generate_instance_uid=False)
            dataset.BitsStored, dataset.HighBit = 12, 11

    folder = series(change)
    if syntax == "jpeg":
        folder = convert("dcmcjpeg", folder, "+e1")
    assert "its compressed data hold values of" in refusal(folder)


@pytest.mark.parametrize("signed", [False, True])
def test_padded_voxels_become_background(signed, series, head):
    padding = -2048 if signed else 4095
    rim = np.zeros((ROWS, COLUMNS), dtype=bool)
    rim[:4] = True

    def change(dataset, number):
        values = np.where(rim, padding, dataset.pixel_array - (100 if signed else 0))
        with_array(dataset, values.astype(np.int16), signed, stored=12)
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", padding)

    array = read(series(change)).T
    expected = stored(head).T.astype(int) - (100 if signed else 0)
    assert (array[:, ~rim] == expected[:, ~rim]).all()
    lowest = expected[:, ~rim].min()
    assert (array[:, rim] == min(lowest, 0)).all()
    assert lowest < 0 or not signed


def test_a_range_of_padding_becomes_background(series, head):
    def change(dataset, number):
        dataset.add_new("PixelPaddingValue", "US", 200)
        dataset.add_new("PixelPaddingRangeLimit", "US", 4095)

    expected = stored(head)
    assert (read(series(change)) == np.where(expected >= 200, 0, expected)).all()


@pytest.mark.parametrize("padding", [63536, 4096])
def test_padding_that_no_sample_can_have_marks_none(padding, series, head):
    """-2000 written as unsigned, with 12 bits stored."""
    folder = series(lambda dataset, number: dataset.add_new("PixelPaddingValue", "US", padding))
    assert (read(folder) == stored(head)).all()


def test_padding_of_zero_changes_nothing(series, head):
    def change(dataset, number):
        dataset.add_new("PixelPaddingValue", "US", 0)

    assert (read(series(change)) == stored(head)).all()


def test_each_slice_is_told_to_the_caller(series):
    calls = []
    (only,) = find_series(series()).series
    read_pixels(stack(only), lambda: calls.append(None))
    assert len(calls) == SLICES


@contextmanager
def memory_below(limit):
    """See that no more bytes are taken at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def refusal(folder):
    """The message with which a folder is refused."""
    with pytest.raises(InputError) as caught:
        read(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
            "has 3 samples a pixel of RGB colours, expected a grey image",
        ),
        (
            {"PhotometricInterpretation": "PALETTE COLOR"},
            "has 1 samples a pixel of PALETTE COLOR colours",
        ),
        ({"PixelRepresentation": 2}, "has PixelRepresentation 2, expected 0 or 1"),
        ({"PixelRepresentation": None}, "has no PixelRepresentation"),
        ({"HighBit": 15}, "stores 12 of 16 bits up to bit 15"),
        ({"BitsAllocated": 12}, "stores 12 of 12 bits up to bit 11, expected 8, 16 or 32"),
        ({"BitsAllocated": 64}, "stores 12 of 64 bits"),
        (
            {"BitsAllocated": 32},
            "has 5280 bytes of pixel data where its header declares "
            "60 x 44 pixels of 32 bits, 10560 bytes",
        ),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "has the RescaleSlope 0"),
        ({"ModalityLUTSequence": []}, "has a ModalityLUTSequence"),
    ],
)
def test_samples_of_another_kind_are_refused_by_name(changes, message, series):
    def change(dataset, number):
        for keyword, value in changes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)

    assert refusal(series(change)).startswith(f"0.dcm: {message}")


def test_a_rescale_of_some_slices_alone_is_refused_by_name(series):
    def change(dataset, number):
        if number != 2:
            dataset.RescaleSlope, dataset.RescaleIntercept = 2, 0

    message = "2.dcm: has no RescaleSlope, where 4 of 5 slices have one"
    assert refusal(series(change)).startswith(message)


def test_one_frame_may_be_told_to_be_one(series, head):
    folder = series(lambda dataset, number: setattr(dataset, "NumberOfFrames", 1))
    assert (read(folder) == stored(head)).all()


def test_floating_point_pixels_are_refused_by_name(series):
    def change(dataset, number):
        dataset.FloatPixelData = bytes(4 * ROWS * COLUMNS)
        del dataset.PixelData

    assert refusal(series(change)).startswith("0.dcm: has no integer pixel data (7FE0,0010)")


@pytest.mark.parametrize("value", ["1e999", "nan", "two"])
def test_a_slope_that_is_no_number_is_refused(value, series):
    folder = series(lambda dataset, number: setattr(dataset, "RescaleSlope", "9.87654"))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"9.87654 ", value.ljust(8).encode()))
    assert "RescaleSlope" in refusal(folder)


def test_values_that_overflow_are_refused(series):
    def change(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = "1e38", 0

    assert "its values overflow with RescaleSlope 1e+38" in refusal(series(change))


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (20000, 20000), (61, 44), (59, 44)])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_a_false_matrix_is_refused_before_memory_is_taken(syntax, rows, columns, series):
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


@pytest.mark.parametrize("cut", [2, 40, 400])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_a_compressed_frame_cut_off_is_refused(syntax, cut, series):
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
def test_a_compressed_frame_missing_or_too_many_is_refused(table, count, syntax, series):
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
def test_a_false_offset_table_is_refused(offsets, message, test_data, tmp_path):
    dataset = pydicom.dcmread(test_data / "dicom/pydicom_data/emri_small_RLE.dcm")
    data = dataset.PixelData
    assert data[4:8] == struct.pack("<I", 40)
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    dataset.PixelData = data[:4] + struct.pack("<I", len(table)) + table + data[48:]
    dataset.save_as(tmp_path / "false.dcm")
    with pytest.raises(InputError, match=f"false.dcm, frame 1: its offset table {message}"):
        read_pixels(single(tmp_path / "false.dcm", 10))


def test_frames_in_another_order_than_their_table_says_are_refused(test_data, tmp_path):
    dataset = pydicom.dcmread(test_data / "dicom/pydicom_data/emri_small_RLE.dcm")
    data = dataset.PixelData
    offsets = struct.unpack("<10I", data[8:48])
    swapped = [offsets[1], offsets[0], *offsets[2:]]
    dataset.PixelData = data[:8] + struct.pack("<10I", *swapped) + data[48:]
    dataset.save_as(tmp_path / "swapped.dcm")
    with pytest.raises(InputError, match="in order"):
        read_pixels(single(tmp_path / "swapped.dcm", 10))


def test_an_extended_offset_table_is_followed(test_data, tmp_path):
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


def test_a_multi_frame_file_that_is_cut_off_is_refused(test_data):
    path = test_data / "dicom/pydicom_data/emri_small_jpeg_2k_lossless_too_short.dcm"
    with pytest.raises(InputError, match="is truncated"):
        read_pixels(single(path, 10))


def test_too_few_frames_are_refused(test_data):
    path = test_data / "dicom/pydicom_data/emri_small.dcm"
    made = single(path, 11)
    with pytest.raises(InputError, match="has 10 frames, expected 11"):
        read_pixels(made)


@pytest.mark.parametrize("frames", [11, 2**30])
def test_more_frames_than_there_are_bytes_are_refused(frames, test_data):
    made = single(test_data / "dicom/pydicom_data/emri_small.dcm", 10)
    made.series.header.NumberOfFrames = frames
    with pytest.raises(InputError, match=r"has 81920 bytes of pixel data|more than the 536870912"):
        read_pixels(made)


def test_a_deflated_bomb_is_bounded(series):
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


def test_deflated_data_that_are_damaged_or_cut_off_are_refused(series):
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


@pytest.mark.parametrize(
    ("syntax", "module", "name"),
    [
        (JPEG2000Lossless, "openjpeg", "JPEG 2000 Image Compression"),
        (JPEGLSLossless, "jpeg_ls", "JPEG-LS Lossless"),
        ("jpeg", "gdcm", "JPEG Lossless"),
    ],
)
def test_a_decoder_that_is_missing_is_named(syntax, module, name, series, monkeypatch):
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
def test_transfer_syntaxes_that_are_not_read_are_named(uid, message, series):
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
def test_nothing_is_printed_when_a_decoder_fails(syntax, series, capfd):
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


def test_a_tile_that_is_missing_is_refused(series, head):
    """openjpeg would leave its place black."""

    def tiled(dataset, cut):
        buffer = BytesIO()
        image = Image.fromarray(dataset.pixel_array)
        image.save(buffer, "JPEG2000", no_jp2=True, tile_size=(COLUMNS, ROWS // 2))
        data = buffer.getvalue()
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        last = data.rindex(b"\xff\x90\x00\x0a")
        dataset.PixelData = encapsulate([data[:last] + data[-2:] if cut else data])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    whole = series(lambda dataset, number: tiled(dataset, False), "whole")
    assert (read(whole) == stored(head)).all()
    message = refusal(series(lambda dataset, number: tiled(dataset, number == 2)))
    assert message.startswith("2.dcm: has 1 of the 2 tiles that its JPEG 2000 data declare")


def test_jpeg_2000_in_a_file_format_of_its_own_is_refused(series):
    def change(dataset, number):
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        box = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(4) + b"none"
        dataset.PixelData = encapsulate([box + frame])

    assert "does not begin as a JPEG 2000 codestream does" in refusal(series(change))
