"""One window for heads with and without skull, whatever surrounds them."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.intensity import (
    Window,
    foreground,
    from_unit,
    occupied_span,
    occupied_spans,
    source_window,
    target_window,
    to_unit,
)
from hagan_clinic.volume import crop_or_pad, to_canonical

DATA = os.environ.get("HAGAN_TEST_DATA")
SAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = SAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"

needs_data = pytest.mark.skipif(DATA is None, reason="HAGAN_TEST_DATA is not set")


def ball(shape, centre, radius):
    """Voxels of `shape` within `radius` of `centre`."""
    place = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return (place**2).sum(axis=0) <= radius**2


def brain(shape=(90, 90, 90), radius=30, noise=0.0, background=0.0):
    """A ball of three tissues (100 to 300) in air with Rayleigh noise, and the ball itself."""
    generator = np.random.default_rng(4)
    air = generator.normal(0, noise, (2, *shape)) if noise else np.zeros((2, *shape))
    image = np.hypot(*air)
    inside = ball(shape, [size // 2 for size in shape], radius)
    image[inside] += generator.choice([100.0, 200.0, 300.0], inside.sum())
    return (image + background).astype(np.float32), inside


def difference(a, b):
    """Largest difference of two windows, as a part of the second."""
    return max(abs(a.low - b.low), abs(a.high - b.high)) / (b.high - b.low)


def window_of(volume, array=None):
    canonical = to_canonical(volume if array is None else volume.with_array(array))
    return source_window(canonical.array, canonical.spacing)


@pytest.mark.parametrize("noise", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("background", [0.0, -1000.0, 40.0])
def test_foreground_is_the_brain_and_not_the_air(noise, background):
    image, inside = brain(noise=noise, background=background)
    found = foreground(image)
    assert found[inside].mean() > 0.999
    assert found[~inside].mean() < 0.002


def test_foreground_of_a_tiny_brain_in_a_big_field():
    image, inside = brain(shape=(160, 160, 160), radius=8, noise=2.0)
    found = foreground(image)
    assert found[inside].all()
    assert [occupied_span(found, axis) for axis in range(3)] == [(73, 88)] * 3


def test_foreground_keeps_dark_fluid():
    image, inside = brain()
    fluid = ball(image.shape, (45, 45, 45), 8)
    image[fluid] = 60
    assert (foreground(image) == inside).all()


def test_foreground_is_not_drawn_by_a_spike():
    image, inside = brain(noise=2.0)
    image[45, 45, 45] = 1e7
    assert foreground(image)[inside].mean() > 0.999


def test_foreground_of_an_image_that_fills_its_field():
    generator = np.random.default_rng(0)
    image = generator.uniform(100, 300, (20, 20, 20)).astype(np.float32)
    assert foreground(image).mean() > 0.5


@given(st.integers(0, 2**32 - 1), st.integers(0, 26), st.floats(-1e4, 1e4, width=32))
def test_foreground_of_what_is_not_constant_is_never_empty(seed, place, value):
    image = np.full((3, 3, 3), value, np.float32)
    image.flat[place] += 1 + np.random.default_rng(seed).integers(100)
    assert foreground(image).any()


@pytest.mark.parametrize("value", [0, 7, -3])
def test_a_constant_image_is_refused(value):
    image = np.full((8, 8, 8), value, np.float32)
    with pytest.raises(InputError, match=f"all voxels have the value {value}: the image is empty"):
        foreground(image)
    with pytest.raises(InputError, match=f"all voxels have the value {value}: the image is empty"):
        source_window(image, (1, 1, 1))


def test_a_brain_without_contrast_is_refused():
    _, inside = brain()
    with pytest.raises(InputError, match="has the one value 5: no contrast; expected"):
        source_window(np.where(inside, 5, 0).astype(np.float32), (1, 1, 1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    image, inside = brain()
    image[45, 45, 45] = value
    with pytest.raises(InputError, match=r"NaN or infinite values; replace them first$"):
        source_window(image, (1, 1, 1))
    with pytest.raises(InputError, match=r"NaN or infinite values; replace them first$"):
        target_window(image, inside)


def test_an_empty_mask_is_refused():
    image, inside = brain()
    with pytest.raises(InputError, match="brain mask is empty"):
        source_window(image, (1, 1, 1), np.zeros_like(inside))
    with pytest.raises(InputError, match="brain mask is empty"):
        target_window(image, np.zeros_like(inside))


def test_spans_of_a_mask_of_many_slices_are_those_of_its_voxels():
    """A column that is set in 256 slices counts for more than specks, whatever a byte holds."""
    mask = np.zeros((300, 40, 30), bool)
    mask[4:260, 10:20, 5:25] = True
    mask[100, 30, 28] = True
    spans = [(4, 260), (10, 20), (5, 25)]
    assert occupied_spans(mask) == spans
    assert [occupied_span(mask, axis) for axis in range(3)] == spans


def test_source_window_holds_the_percentiles_of_the_sphere():
    image, inside = brain(radius=36)
    near = ball(image.shape, (45, 45, 45), 40 / 1.95)
    image[near] = np.random.default_rng(1).uniform(350, 500, near.sum())
    low, high = np.percentile(image[near], (0.5, 99.5))
    assert source_window(image, (1.95,) * 3, inside) == Window(low, high)
    assert source_window(image, (1.95,) * 3) == Window(low, high)


def test_source_window_sees_dark_fluid_and_not_empty_voxels():
    image, _ = brain()
    image[ball(image.shape, (45, 45, 45), 8)] = 12
    # What trilinear interpolation leaves of nothing beside the brain.
    image[ball(image.shape, (45, 45, 60), 8)] = 1e-4
    assert source_window(image, (1, 1, 1)) == Window(12, 300)


def test_source_window_counts_millimetres_along_each_axis():
    image, inside = brain(shape=(31, 61, 91), radius=15)
    image[inside] = 100
    place = (np.indices(image.shape) - np.reshape((15, 30, 45), (3, 1, 1, 1))) * np.reshape(
        (6, 3, 2), (3, 1, 1, 1)
    )
    sphere = (place**2).sum(axis=0) <= 40**2
    image[sphere] = np.linspace(1000, 2000, sphere.sum())
    low, high = np.percentile(image[sphere], (0.5, 99.5))
    assert source_window(image, (6, 3, 2), sphere) == Window(low, high)


def test_the_neck_does_not_move_the_window():
    shape = (130, 75, 75)
    head = ball(shape, (95, 37, 37), 34)
    neck = np.zeros_like(head)
    neck[:70, 12:62, 12:62] = True
    image = np.where(neck, 900, 0).astype(np.float32)
    image[head] = np.random.default_rng(0).choice([100.0, 200.0, 300.0], head.sum())
    alone = np.where(head, image, 0)
    assert source_window(image, (2, 2, 2)) == source_window(alone, (2, 2, 2)) == Window(100, 300)
    assert source_window(image, (2, 2, 2), head_mm=1000).high == 900


def test_empty_surroundings_do_not_move_the_window():
    volume = to_canonical(read(SAMPLE))
    padded = crop_or_pad(volume, (-30, -25, -20), [size + 50 for size in volume.shape])
    assert window_of(padded) == window_of(volume)


@given(st.floats(0.01, 100), st.floats(-500, 500))
def test_units_of_the_scanner_do_not_matter(slope, intercept):
    image, _ = brain(shape=(24, 24, 24), radius=9)
    unit = to_unit(image, source_window(image, (3, 3, 3)))
    other = (image * slope + intercept).astype(np.float32)
    np.testing.assert_allclose(to_unit(other, source_window(other, (3, 3, 3))), unit, atol=2e-2)


def test_to_unit_maps_the_window_and_clips_the_rest():
    array = np.array([[[0, 10, 15, 20, 99]]], dtype=np.int16)
    unit = to_unit(array, Window(10, 20))
    assert unit.dtype == np.float32
    assert unit.ravel().tolist() == [-1, -1, 0, 1, 1]
    assert array.ravel().tolist() == [0, 10, 15, 20, 99]


def test_from_unit_maps_to_0_1():
    fraction = from_unit(np.array([[[-1.2, -1, 0, 1, 1.3]]]))
    assert fraction.dtype == np.float32
    assert fraction.ravel().tolist() == [0, 0, 0.5, 1, 1]


@needs_data
def test_real_heads_with_and_without_skull_have_one_window():
    folder = Path(DATA or "") / "lgg_mni"
    mask = read(folder / "brain_mask.nii.gz").array > 0
    differences = []
    for path in sorted(folder.glob("*/*_t1.nii.gz"))[::3]:
        head = read(path)
        whole = window_of(head)
        stripped = window_of(head, np.where(mask, head.array, 0))
        differences.append(difference(whole, stripped))
    assert len(differences) == 25
    assert np.median(differences) == 0
    assert np.percentile(differences, 90) <= 0.02


@needs_data
@pytest.mark.parametrize("case", ["BraTS-GLI-00001-000", "OPENMS-patient19", "TCGA-DU-7294"])
def test_the_span_of_a_real_stripped_brain_is_its_own(case):
    array = read(Path(DATA or "") / "pairs_1mm" / case / f"{case}_t1.nii.gz").array
    found = foreground(array)
    assert not found[array == 0].any()
    for axis in range(3):
        np.testing.assert_allclose(
            occupied_span(found, axis), occupied_span(array > 0, axis), rtol=0, atol=4
        )
