"""What the network sees, and the exact way back to the scanner's grid."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.intensity import source_window, to_unit
from hagan_clinic.preparation import network_grid, prepare, restore
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import Grid, Volume, crop_or_pad, resample, to_canonical

DATA = os.environ.get("HAGAN_TEST_DATA")
SAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = SAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"

needs_data = pytest.mark.skipif(DATA is None, reason="HAGAN_TEST_DATA is not set")


def recipe(spacing=(1.5, 1.5, 1.5), sources=("t1",), **changes):
    return Recipe(
        sources=sources,
        target="flair",
        spacing=spacing,
        multiple=16,
        halo=8,
        interval_factor=2.0,
        **changes,
    )


def phantom(affine, shape, width=0.25):
    """A smooth blob in the middle of the field, bright by 1000, on a background of 0."""
    place = [np.linspace(-1, 1, size) for size in shape]
    d, h, w = np.meshgrid(*place, indexing="ij")
    array = 1000 * np.exp(-(d**2 + (1.2 * h) ** 2 + w**2) / (2 * width**2))
    array[array < 20] = 0
    return Volume(array.astype(np.float32), affine)


seeds = st.integers(0, 2**32 - 1)
spacings = st.tuples(*[st.floats(1.2, 5.0)] * 3)


def scan_of(seed, spacing):
    """A phantom of about 9 cm on any oriented, flipped, oblique, anisotropic grid."""
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = generator.uniform(-200, 200, 3)
    shape = tuple(max(int(90 / step), 1) for step in spacing)
    return phantom(affine, shape)


@settings(max_examples=20)
@given(seeds, spacings, st.sampled_from([1.2, 1.5, 2.0]))
def test_the_way_back_ends_on_the_scanners_grid_bit_for_bit(seed, spacing, wanted):
    scan = scan_of(seed, spacing)
    prepared = prepare([scan], recipe((wanted,) * 3))
    back = restore(prepared.array[0], prepared, fill=-1)
    assert back.array.shape == scan.array.shape
    assert (back.affine == scan.affine).all()


@settings(max_examples=20)
@given(seeds, spacings)
def test_a_smooth_image_returns_within_two_hundredths(seed, spacing):
    scan = scan_of(seed, spacing)
    # The window of all voxels, so that nothing is clipped.
    whole = {"percentiles": (0.0, 100.0), "radius_mm": 500.0}
    prepared = prepare([scan], recipe(**whole))
    back = restore(prepared.array[0], prepared, fill=-1).array
    seen = resample(scan, network_grid(scan.grid, (1.5,) * 3))
    expected = to_unit(scan.array, source_window(seen.array, seen.spacing, **whole))
    inside = scan.array > 100
    assert np.abs(back - expected)[inside].mean() / 2 < 0.02


@settings(max_examples=20)
@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_at_the_models_spacing_every_voxel_returns_exactly(order, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * signs * 1.5
    scan = phantom(affine, (70, 80, 61))
    prepared = prepare([scan], recipe())
    back = restore(prepared.array[0], prepared, fill=-1)
    canonical = to_canonical(scan)
    window = source_window(canonical.array, canonical.spacing)
    assert (back.array == to_unit(scan.array, window)).all()


@settings(max_examples=20)
@given(seeds, spacings)
def test_array_and_grid_of_the_network_input_belong_together(seed, spacing):
    scan = scan_of(seed, spacing)
    kept = recipe((2.0,) * 3)
    prepared = prepare([scan], kept)
    assert prepared.array.dtype == np.float32
    assert prepared.array.shape == (1, *prepared.grid.shape)
    assert all(size % kept.multiple == 0 for size in prepared.grid.shape)
    np.testing.assert_allclose(prepared.grid.spacing, kept.spacing, atol=1e-3)
    whole = resample(scan, network_grid(scan.grid, kept.spacing))
    seen = to_unit(resample(scan, prepared.grid).array, source_window(whole.array, whole.spacing))
    np.testing.assert_allclose(prepared.array[0], seen, atol=1e-3)


def test_the_head_is_kept_with_its_margin_and_the_rest_cut_off():
    head = np.zeros((120, 130, 140), np.float32)
    head[30:70, 40:80, 50:90] = np.random.default_rng(0).uniform(50, 100, (40, 40, 40))
    prepared = prepare([Volume(head, np.eye(4)[[2, 1, 0, 3]] * 1.0)], recipe((1.0,) * 3))
    assert prepared.array.shape == (1, 64, 64, 64)
    np.testing.assert_allclose(prepared.grid.affine[:3, 3], [38, 28, 18])
    assert (prepared.array[0, :12] == -1).all()
    assert (prepared.array[0, 12:52, 12:52, 12:52] > -1).mean() > 0.95


def test_what_sticks_out_of_the_field_is_padded_with_background():
    scan = phantom(np.diag([1.5, 1.5, 1.5, 1]), (20, 20, 20), width=2.0)
    scan = scan.with_array(scan.array + 100)
    prepared = prepare([scan], recipe())
    assert prepared.array.shape == (1, 32, 32, 32)
    assert (prepared.array == -1).sum() >= 32**3 - 20**3
    back = restore(np.ones((32, 32, 32), np.float32), prepared, fill=-1)
    assert (back.array == 1).all()


def test_voxels_that_the_network_did_not_see_are_fill():
    head = np.zeros((100, 100, 100), np.float32)
    head[40:60, 40:60, 40:60] = np.random.default_rng(0).uniform(50, 100, (20, 20, 20))
    prepared = prepare([Volume(head, np.eye(4))], recipe((1.0,) * 3))
    back = restore(np.ones(prepared.grid.shape, np.float32), prepared, fill=0.25).array
    assert sorted(np.unique(back).tolist()) == [0.25, 1]
    assert (back == 1).sum() == np.prod(prepared.grid.shape)


def ellipsoid(shape, middle, radii):
    """Voxels within an ellipsoid, all in mm on a grid of 2 mm, axes right, anterior, superior."""
    places = np.meshgrid(*(2.0 * np.arange(side) for side in shape), indexing="ij")
    return sum(((p - m) / r) ** 2 for p, m, r in zip(places, middle, radii, strict=True)) < 1


BRAIN_MIDDLE = (130, 150, 200)


def head(*, stripped):
    """A brain, or a head around it with a nose, a jaw and a neck; values of tissue vary."""
    shape = (130, 150, 150)
    inside = ellipsoid(shape, BRAIN_MIDDLE, (68, 84, 72))
    if not stripped:
        inside |= ellipsoid(shape, (130, 150, 198), (80, 98, 90))
        inside |= ellipsoid(shape, (130, 250, 150), (20, 30, 30))  # nose
        inside |= ellipsoid(shape, (130, 150, 100), (60, 70, 110))  # jaw and neck
    values = np.random.default_rng(0).uniform(100, 900, shape)
    return Volume(np.where(inside, values, 0).astype(np.float32), np.diag([2.0, 2, 2, 1]))


@pytest.mark.parametrize(("stripped", "tolerance"), [(True, 2), (False, 10)])
def test_the_box_of_training_is_put_around_the_brain(stripped, tolerance):
    prepared = prepare([head(stripped=stripped)], recipe(spacing=(2.0, 2, 2), box=(80, 96, 80)))
    assert prepared.array.shape == (1, 80, 96, 80)
    middle = prepared.grid.affine @ [40, 48, 40, 1]
    assert np.abs(middle[:3] - BRAIN_MIDDLE).max() <= tolerance  # mm
    back = restore(prepared.array[0], prepared, fill=0)
    assert np.array_equal(back.affine, prepared.source_grid.affine)


def brain_mask(scan, middle=BRAIN_MIDDLE, radii=(68, 84, 72)):
    return scan.with_array(ellipsoid(scan.shape, middle, radii).astype(np.float32))


def test_a_brain_mask_decides_where_the_box_lies():
    scan, kept = head(stripped=False), recipe(spacing=(2.0, 2, 2), box=(80, 96, 80))
    for middle in (BRAIN_MIDDLE, (120, 170, 180)):
        prepared = prepare([scan], kept, mask=brain_mask(scan, middle))
        found = prepared.grid.affine @ [40, 48, 40, 1]
        assert np.abs(found[:3] - middle).max() <= 2  # mm
        assert prepared.unseen == 0


def test_a_mask_decides_the_window_only_if_wanted():
    scan, kept = head(stripped=False), recipe(spacing=(2.0, 2, 2), box=(80, 96, 80))
    windows = [
        prepare([scan], kept, mask=brain_mask(scan, radii=(30, 30, 30)), mask_window=taken)
        for taken in (True, False)
    ]
    unmasked = prepare([scan], replace(kept, box=()))
    same = resample(Volume(windows[1].array[0], windows[1].grid.affine), unmasked.grid, fill=-1)
    inside = resample(brain_mask(scan), unmasked.grid).array > 0.5
    assert (same.array == unmasked.array[0])[inside].all()
    assert not np.array_equal(windows[0].array, windows[1].array)


def test_the_part_of_the_brain_outside_the_box_is_told():
    scan, small = head(stripped=True), recipe(spacing=(2.0, 2, 2), box=(80, 64, 80))
    brain = brain_mask(scan).array > 0
    # The box leaves the brain's ends, beyond 64 mm in front of its middle and behind.
    places = 2.0 * np.arange(scan.shape[1]) - BRAIN_MIDDLE[1]
    expected = brain[:, np.abs(places) > 64].sum() / brain.sum()
    assert prepare([scan], small, mask=brain_mask(scan)).unseen == pytest.approx(expected, abs=0.01)
    assert prepare([scan], small).unseen == pytest.approx(expected, abs=0.03)
    assert prepare([scan], recipe(spacing=(2.0, 2, 2), box=(80, 96, 80))).unseen == 0
    assert prepare([scan], recipe(spacing=(2.0, 2, 2))).unseen == 0


def test_the_neck_outside_the_box_is_not_missed():
    short = recipe(spacing=(2.0, 2, 2), box=(96, 112, 96))
    prepared = prepare([head(stripped=False)], short)
    lowest = prepared.grid.affine[2, 3]
    assert lowest > 60  # mm; the neck begins at 0
    assert prepared.unseen < 0.01


def test_an_empty_mask_is_refused():
    scan = head(stripped=True)
    with pytest.raises(InputError, match="the brain mask is empty"):
        prepare([scan], recipe(), mask=scan.with_array(np.zeros(scan.shape, np.float32)))


def test_a_box_larger_than_the_scan_is_padded_with_background():
    brain = head(stripped=True)
    prepared = prepare([brain], recipe(spacing=(2.0, 2, 2), box=(160, 160, 160)))
    assert prepared.array.shape == (1, 160, 160, 160)
    assert (prepared.array[0, -1] == -1).all()
    back = restore(prepared.array[0], prepared, fill=-1)
    inside = brain.array > 0
    assert np.corrcoef(back.array[inside], brain.array[inside])[0, 1] > 0.99


def test_several_sequences_share_the_box_and_have_their_own_windows():
    t1 = phantom(np.diag([1.5, 1.5, 1.5, 1]), (64, 64, 64))
    t2 = t1.with_array(np.where(t1.array > 0, 4000 - t1.array, 0))
    prepared = prepare([t1, t2], recipe(sources=("t1", "t2")))
    assert prepared.array.shape[0] == 2
    single = prepare([t2], recipe())
    assert (single.array[0] == prepared.array[1]).all()


def test_a_brain_mask_decides_the_window():
    scan = phantom(np.diag([1.5, 1.5, 1.5, 1]), (64, 64, 64))
    mask = scan.with_array((scan.array > 800).astype(np.float32))
    prepared = prepare([scan], recipe(), mask=mask)
    window = source_window(scan.array, scan.spacing, mask.array > 0)
    assert window.low > 790
    expected = to_canonical(scan.with_array(to_unit(scan.array, window))).array
    assert (restore(prepared.array[0], prepared, -1).array == expected.transpose(2, 1, 0)).all()


def test_another_number_of_sequences_is_refused():
    scan = phantom(np.eye(4), (32, 32, 32))
    with pytest.raises(InputError, match="found 1 source volumes, the model expects 2: t1, t2"):
        prepare([scan], recipe(sources=("t1", "t2")))


def test_sequences_on_different_grids_are_refused():
    t1, t2 = phantom(np.eye(4), (32, 32, 32)), phantom(np.diag([1, 1, 2, 1.0]), (32, 32, 16))
    message = r"t2 \(32x32x16 voxels of 1x1x2 mm\) and t1 \(32x32x32 .*\) lie on different grids"
    with pytest.raises(InputError, match=message):
        prepare([t1, t2], recipe(sources=("t1", "t2")))
    with pytest.raises(InputError, match=r"brain mask .* lie on different grids"):
        prepare([t1], recipe(), mask=t2)


def test_an_empty_volume_is_refused():
    with pytest.raises(InputError, match="the image is empty"):
        prepare([Volume(np.zeros((32, 32, 32), np.float32), np.eye(4))], recipe())


def test_a_real_brain_returns_to_its_grid():
    scan = read(SAMPLE)
    prepared = prepare([scan], recipe())
    back = restore(prepared.array[0], prepared, fill=-1)
    assert back.grid.same_as(scan.grid, tolerance_mm=0)
    canonical = to_canonical(scan)
    unit = to_unit(scan.array, source_window(canonical.array, canonical.spacing))
    brain = scan.array > 0
    # 1 mm detail does not survive 1.5 mm voxels; the mean tells what is lost.
    assert np.abs(back.array - unit)[brain].mean() / 2 < 0.06
    assert np.corrcoef(back.array[brain], unit[brain])[0, 1] > 0.95


def test_a_bigger_field_of_view_gives_the_same_input():
    scan = read(SAMPLE)
    start = [-30, -24, -21]
    wide = crop_or_pad(scan, start, [size + 60 for size in scan.shape])
    near, far = prepare([scan], recipe((1.0,) * 3)), prepare([wide], recipe((1.0,) * 3))
    box = resample(Volume(far.array[0], far.grid.affine), near.grid, fill=-1).array
    np.testing.assert_allclose(box, near.array[0], atol=1e-3)


def test_a_box_that_grows_follows_the_head_and_not_the_field_of_view():
    scan = read(SAMPLE)
    start = [-30, -24, -21]
    wide = crop_or_pad(scan, start, [size + 60 for size in scan.shape])
    kept = recipe((1.0,) * 3, box=(160, 192, 160), box_grows=True, margin_mm=8.0)
    near, far = prepare([scan], kept), prepare([wide], kept)
    assert np.array_equal(near.array, far.array)
    assert near.grid.same_as(far.grid)
    assert near.array.shape == (1, 144, 176, 144)
    assert near.unseen == 0 and near.missed is None


@needs_data
def test_a_real_head_at_the_models_spacing_returns_exactly():
    scan = read(next((Path(DATA or "") / "lgg_mni").glob("*/*_t1.nii.gz")))
    prepared = prepare([scan], recipe())
    back = restore(prepared.array[0], prepared, fill=-1)
    canonical = to_canonical(scan)
    unit = to_unit(scan.array, source_window(canonical.array, canonical.spacing))
    assert (back.array == unit).mean() > 0.999


def test_the_network_grid_is_the_scanners_where_the_spacing_is_the_models():
    grid = Grid((10, 11, 12), np.diag([1.5, 1.5004, 1.5, 1])[[2, 1, 0, 3]])
    assert (network_grid(grid, (1.5, 1.5, 1.5)).affine == grid.affine).all()
    assert network_grid(grid, (1.5, 1.5004, 0.75)).shape == (10, 11, 24)
