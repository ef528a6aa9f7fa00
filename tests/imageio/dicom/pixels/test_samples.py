"""Samples become values: the stored bits alone, rescaled, and padding as background."""

import numpy as np
import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

ROWS, COLUMNS = 60, 44
"""Of the slices of `series`."""


@pytest.mark.parametrize("slopes", [[1, 1, 1, 1, 1], [0.5, 1, 1.25, 3, 0.125]])
def test_every_slice_is_rescaled_by_its_own_slope(slopes, series, read, by_itk):
    def change(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[number], -10 * (number + 1)

    folder = series(change)
    array = read(folder)
    assert (array == by_itk(folder)).all()
    assert array.min() < 0


def test_a_slope_or_an_intercept_alone_is_read(series, read, stored):
    folder = series(lambda dataset, number: setattr(dataset, "RescaleSlope", 2), "slope")
    assert (read(folder) == 2.0 * stored).all()
    folder = series(lambda dataset, number: setattr(dataset, "RescaleIntercept", -3), "intercept")
    assert (read(folder) == stored - 3.0).all()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_every_slice_may_store_as_many_bits_as_its_values_take(syntax, series, read, stored):
    def change(dataset, number):
        dataset.BitsStored = int(dataset.pixel_array.max()).bit_length()
        dataset.HighBit = dataset.BitsStored - 1
        told.add(dataset.BitsStored)
        if syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)

    told = set()
    assert (read(series(change)) == stored).all()
    assert len(told) > 1


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_slice_that_holds_more_bits_than_it_says_is_refused_among_others(syntax, series, refusal):
    def change(dataset, number):
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        if number == 2:
            dataset.BitsStored, dataset.HighBit = 4, 3

    assert refusal(series(change)).startswith("2.dcm: holds more than the 4 bits")


@pytest.mark.parametrize(
    "excess", [b"\0" * 16, b"\x20" * 16, b"\0" * 2 * COLUMNS * 9], ids=["zeros", "blanks", "rows"]
)
def test_what_pads_pixel_data_is_passed_over(excess, series, read, stored):
    def change(dataset, number):
        dataset.PixelData += excess

    assert (read(series(change)) == stored).all()


@pytest.mark.parametrize("rows", [1, ROWS // 2])
def test_rows_behind_those_declared_are_no_padding(rows, series, refusal):
    def change(dataset, number):
        dataset.Rows -= rows

    whole, left = 2 * ROWS * COLUMNS, 2 * (ROWS - rows) * COLUMNS
    assert f"has {whole} bytes of pixel data where its header declares" in refusal(series(change))
    assert f"bits, {left} bytes; copy it again" in refusal(series(change, "again"))


def test_monochrome1_is_not_inverted(series, read, by_highdicom, stored):
    def change(dataset, number):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    folder = series(change)
    assert (read(folder) == stored).all()
    assert (by_highdicom(folder) == stored).all()


def with_junk(dataset, number):
    """Noise in the bits that are not stored."""
    rng = np.random.default_rng(number)
    words = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
    words = words | rng.integers(0, 16, words.size, dtype=np.uint16) << 12
    dataset.PixelData = words.astype("<u2").tobytes()


@pytest.mark.parametrize("option", ["+te", "+tb", RLELossless])
def test_bits_that_are_not_stored_do_not_count(kind, option, series, read, by_itk, convert):
    def change(dataset, number):
        kind(dataset, number)
        with_junk(dataset, number)
        if option == RLELossless:
            dataset.compress(option, generate_instance_uid=False)

    folder = series(change, "junk")
    if option != RLELossless:
        folder = convert("dcmconv", folder, option)
    assert (read(folder) == by_itk(series(kind, "plain"))).all()


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, "jpeg"])
def test_compressed_values_beyond_the_stored_bits_are_refused(
    kind, syntax, series, convert, refusal
):
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
def test_padded_voxels_become_background(signed, series, with_array, read, stored):
    padding = -2048 if signed else 4095
    rim = np.zeros((ROWS, COLUMNS), dtype=bool)
    rim[:4] = True

    def change(dataset, number):
        values = np.where(rim, padding, dataset.pixel_array - (100 if signed else 0))
        with_array(dataset, values.astype(np.int16), signed, stored=12)
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", padding)

    array = read(series(change)).T
    expected = stored.T.astype(int) - (100 if signed else 0)
    assert (array[:, ~rim] == expected[:, ~rim]).all()
    lowest = expected[:, ~rim].min()
    assert (array[:, rim] == min(lowest, 0)).all()
    assert lowest < 0 or not signed


def test_a_range_of_padding_becomes_background(series, read, stored):
    def change(dataset, number):
        dataset.add_new("PixelPaddingValue", "US", 200)
        dataset.add_new("PixelPaddingRangeLimit", "US", 4095)

    expected = stored
    assert (read(series(change)) == np.where(expected >= 200, 0, expected)).all()


@pytest.mark.parametrize("padding", [63536, 4096])
def test_padding_that_no_sample_can_have_marks_none(padding, series, read, stored):
    """-2000 written as unsigned, with 12 bits stored."""
    folder = series(lambda dataset, number: dataset.add_new("PixelPaddingValue", "US", padding))
    assert (read(folder) == stored).all()


def test_padding_of_zero_changes_nothing(series, read, stored):
    def change(dataset, number):
        dataset.add_new("PixelPaddingValue", "US", 0)

    assert (read(series(change)) == stored).all()


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
def test_samples_of_another_kind_are_refused_by_name(changes, message, series, refusal):
    def change(dataset, number):
        for keyword, value in changes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)

    assert refusal(series(change)).startswith(f"0.dcm: {message}")


def test_a_rescale_of_some_slices_alone_is_refused_by_name(series, refusal):
    def change(dataset, number):
        if number != 2:
            dataset.RescaleSlope, dataset.RescaleIntercept = 2, 0

    message = "2.dcm: has no RescaleSlope, where 4 of 5 slices have one"
    assert refusal(series(change)).startswith(message)


def test_one_frame_may_be_told_to_be_one(series, read, stored):
    folder = series(lambda dataset, number: setattr(dataset, "NumberOfFrames", 1))
    assert (read(folder) == stored).all()


def test_floating_point_pixels_are_refused_by_name(series, refusal):
    def change(dataset, number):
        dataset.FloatPixelData = bytes(4 * ROWS * COLUMNS)
        del dataset.PixelData

    assert refusal(series(change)).startswith("0.dcm: has no integer pixel data (7FE0,0010)")


@pytest.mark.parametrize("value", ["1e999", "nan", "two"])
def test_a_slope_that_is_no_number_is_refused(value, series, refusal):
    folder = series(lambda dataset, number: setattr(dataset, "RescaleSlope", "9.87654"))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"9.87654 ", value.ljust(8).encode()))
    assert "RescaleSlope" in refusal(folder)


def test_values_that_overflow_are_refused(series, refusal):
    def change(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = "1e38", 0

    assert "its values overflow with RescaleSlope 1e+38" in refusal(series(change))
