"""Orientation, resampling, cropping and padding keep every voxel at its place in space."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.volume import (
    Grid,
    Volume,
    _resampled,
    canonical_grid,
    crop_or_pad,
    resample,
    resampled_grid,
    same_lattice,
    to_axes_of,
    to_canonical,
)

DATA = os.environ.get("HAGAN_TEST_DATA")
SAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = SAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"

finite = st.floats(-1, 1, allow_nan=False, width=32)
spacings = st.tuples(*[st.floats(0.4, 7.0)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def rotation(quaternion):
    """Rotation matrix of a quaternion that need not be normalised."""
    return nib.quaternions.quat2mat(quaternion)


@st.composite
def affines(draw, oblique=1.0, spacing=spacings):
    """Any axis order and flips, anisotropic, sheared; `oblique` bounds the angle to the axes."""
    turn = [1.0, *(oblique * draw(finite) for _ in range(3))]
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    affine = np.eye(4)
    shear = np.eye(3)
    shear[0, 1], shear[1, 2] = (0.1 * draw(finite) for _ in range(2))
    affine[:3, :3] = (rotation(turn) @ shear)[:, order] * signs * draw(spacing)
    affine[:3, 3] = [100 * draw(finite) for _ in range(3)]
    return affine


@st.composite
def volumes(draw, **kinds):
    shape = draw(shapes)
    seed = draw(st.integers(0, 2**32 - 1))
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Volume(array, draw(affines(**kinds)))


def places(volume):
    """Every voxel's position and value, in an order that does not depend on the axes."""
    indices = np.indices(volume.shape).reshape(3, -1)
    positions = volume.affine[:3, :3] @ indices + volume.affine[:3, 3:]
    order = np.argsort(volume.array.ravel())
    return positions[:, order], volume.array.ravel()[order]


def ramp(grid):
    """A function linear in space, sampled on a grid, scaled to about one."""
    indices = np.indices(grid.shape).reshape(3, -1)
    positions = grid.affine[:3, :3] @ indices + grid.affine[:3, 3:]
    values = np.array([0.01, -0.02, 0.015]) @ positions
    return Volume(values.reshape(grid.shape).astype(np.float32), grid.affine)


@given(volumes())
def test_canonical_axes_keep_every_voxel_at_its_place(volume):
    before, values = places(volume)
    after, moved = places(to_canonical(volume))
    assert (values == moved).all()
    np.testing.assert_allclose(after, before, atol=1e-9)


@given(volumes(oblique=0.2))
def test_canonical_axes_run_superior_anterior_right_as_in_nibabel(volume):
    canonical = to_canonical(volume)
    assert nib.aff2axcodes(canonical.affine) == ("S", "A", "R")
    closest = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.affine))
    assert (np.asarray(closest.dataobj).transpose(2, 1, 0) == canonical.array).all()


@given(volumes())
def test_canonical_axes_are_undone_bit_for_bit(volume):
    back = to_axes_of(to_canonical(volume), volume.grid)
    assert back.array.shape == volume.array.shape
    assert (back.array == volume.array).all()
    assert (back.affine == volume.affine).all()


@given(affines(), shapes)
def test_canonical_grid_is_the_grid_of_the_canonical_volume(affine, shape):
    grid = canonical_grid(Grid(shape, affine))
    canonical = to_canonical(Volume(np.zeros(shape, np.float32), affine))
    assert grid.shape == canonical.shape
    assert (grid.affine == canonical.affine).all()


@given(affines(), shapes, spacings)
def test_resampled_grid_covers_the_field_of_view_and_keeps_its_centre(affine, shape, spacing):
    grid = Grid(shape, affine)
    new = resampled_grid(grid, spacing)
    np.testing.assert_allclose(new.spacing, spacing, rtol=1e-9)

    def centre(g):
        return g.affine[:3, :3] @ ((np.array(g.shape) - 1) / 2) + g.affine[:3, 3]

    np.testing.assert_allclose(centre(new), centre(grid), atol=1e-9)
    excess = np.array(new.shape) * new.spacing - np.array(grid.shape) * grid.spacing
    assert (excess > -2e-3 * np.array(spacing)).all()
    assert (excess < np.array(spacing)).all()


@settings(max_examples=25)
@given(
    st.tuples(*[st.floats(0.3, 8.0)] * 3),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.tuples(*[st.floats(-4.0, 12.0)] * 3),
    st.sampled_from([0.0, -1.0]),
)
def test_between_parallel_axes_resampling_gives_what_simpleitk_gives(ratios, signs, offset, fill):
    source = Volume(np.random.default_rng(0).uniform(0, 900, (23, 24, 25)), np.eye(4))
    affine = np.diag([*np.multiply(ratios, signs), 1.0])
    affine[:3, 3] = offset
    grid = Grid((17, 9, 12), affine)
    expected = _resampled(source.array, affine, grid.shape, fill)
    assert np.abs(resample(source, grid, fill).array - expected).max() < 900 * 2e-6


@settings(max_examples=50)
@given(affines(), st.tuples(*[st.floats(0.4, 7.0)] * 3))
def test_resampling_is_exact_for_what_is_linear_in_space(affine, spacing):
    source = ramp(Grid((23, 24, 25), affine))
    grid = resampled_grid(source.grid, spacing)
    result = resample(source, grid, fill=np.nan)
    expected = ramp(grid).array
    # Smoothing near the border sees what lies beyond it, so the claim is for the inside.
    to_source = np.linalg.inv(source.affine) @ grid.affine
    index = np.indices(grid.shape).reshape(3, -1)
    voxel = to_source[:3, :3] @ index + to_source[:3, 3:]
    reach = np.maximum(np.array(grid.spacing) / np.array(source.spacing), 1)[:, None] * 2.5
    inside = ((voxel >= reach) & (voxel <= np.array(source.shape)[:, None] - 1 - reach)).all(axis=0)
    difference = (result.array - expected).ravel()[inside]
    assert np.abs(difference).max(initial=0) < 1e-3


@settings(max_examples=50)
@given(volumes(), st.tuples(*[st.integers(-3, 3)] * 3), shapes)
def test_resampling_by_whole_voxels_is_cropping_and_padding(volume, start, shape):
    moved = crop_or_pad(volume, start, shape, fill=-7)
    result = resample(volume, moved.grid, fill=-7)
    np.testing.assert_allclose(result.array, moved.array, atol=1e-4)


@given(volumes())
def test_resampling_to_the_own_grid_changes_nothing(volume):
    assert resample(volume, volume.grid).array is volume.array


@given(volumes())
def test_resampling_reorients_too(volume):
    canonical = to_canonical(volume)
    result = resample(volume, canonical.grid)
    np.testing.assert_allclose(result.array, canonical.array, atol=1e-4)


def test_outside_the_field_of_view_is_fill():
    volume = Volume(np.ones((4, 4, 4), np.float32), np.eye(4))
    far = np.eye(4)
    far[:3, 3] = 50
    assert (resample(volume, Grid((3, 3, 3), far), fill=-1).array == -1).all()


def test_downsampling_does_not_alias():
    stripes = np.zeros((32, 32, 32), np.float32)
    stripes[::2] = 1
    volume = Volume(stripes, np.eye(4))
    affine = np.diag([4.0, 1, 1, 1])
    coarse = resample(volume, Grid((8, 32, 32), affine)).array
    assert np.abs(coarse[2:-2] - 0.5).max() < 0.05


def test_only_axes_that_become_coarser_are_smoothed():
    spikes = np.zeros((16, 16, 16), np.float32)
    spikes[:, 8, 8] = 1
    volume = Volume(spikes, np.eye(4))
    coarse = resample(volume, Grid((4, 16, 16), np.diag([4.0, 1, 1, 1]))).array
    np.testing.assert_allclose(coarse[:, 8, 8], 1, atol=1e-5)


@given(volumes(), st.tuples(*[st.integers(-12, 12)] * 3), shapes)
def test_cropping_keeps_every_voxel_at_its_place(volume, start, shape):
    box = crop_or_pad(volume, start, shape, fill=np.nan)
    assert box.shape == shape
    for index in np.ndindex(*shape):
        old = np.add(index, start)
        inside = (old >= 0).all() and (old < volume.shape).all()
        value = volume.array[tuple(old)] if inside else np.nan
        np.testing.assert_equal(box.array[index], value)
    np.testing.assert_allclose(
        box.affine[:3, 3], volume.affine[:3, :3] @ start + volume.affine[:3, 3], atol=1e-9
    )


@given(volumes(), st.tuples(*[st.integers(-5, 0)] * 3), st.integers(0, 5))
def test_padding_is_undone_by_cropping(volume, start, more):
    shape = [size - first + more for size, first in zip(volume.shape, start, strict=True)]
    padded = crop_or_pad(volume, start, shape, fill=3)
    back = crop_or_pad(padded, [-first for first in start], volume.shape)
    assert (back.array == volume.array).all()
    assert back.grid.same_as(volume.grid, tolerance_mm=1e-9)


def test_same_as_sees_a_shift_a_turn_and_a_shape():
    grid = Grid((10, 10, 10), np.eye(4))
    shifted = np.eye(4)
    shifted[0, 3] = 0.011
    turned = np.eye(4)
    turned[:3, :3] = rotation([1, 0, 0, 0.001])
    rounded = np.eye(4)
    rounded[0, 3] = 0.009
    assert grid.same_as(Grid((10, 10, 10), np.eye(4)))
    assert grid.same_as(Grid((10, 10, 10), rounded))
    assert not grid.same_as(Grid((10, 10, 10), shifted))
    assert grid.same_as(Grid((10, 10, 10), shifted), tolerance_mm=0.02)
    assert not grid.same_as(Grid((10, 10, 10), turned))
    assert not grid.same_as(Grid((10, 10, 11), np.eye(4)))


@pytest.mark.parametrize(
    "affine",
    [np.diag([1.0, 0, 1, 1]), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])],
)
def test_a_singular_affine_is_refused(affine):
    with pytest.raises(InputError, match="affine is singular"):
        Volume(np.zeros((2, 2, 2)), affine)


def test_an_affine_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="not a finite 4x4 matrix"):
        Grid((2, 2, 2), np.full((4, 4), np.nan))


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 0), (2, 2, 2, 2)])
def test_a_volume_has_three_axes_that_are_not_empty(shape):
    with pytest.raises(InputError, match="expected three non-empty axes"):
        Volume(np.zeros(shape), np.eye(4))


def test_values_of_another_shape_do_not_fit():
    with pytest.raises(ValueError, match=r"\(2, 2, 3\) on a grid of shape \(2, 2, 2\)"):
        Volume(np.zeros((2, 2, 2)), np.eye(4)).with_array(np.zeros((2, 2, 3)))


def test_the_affine_of_a_volume_is_its_own():
    affine = np.eye(4)
    volume = Volume(np.zeros((2, 2, 2)), affine)
    affine[0, 3] = 5
    assert volume.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 3] = 1


def test_importing_is_cheap():
    heavy = "{'nibabel', 'SimpleITK', 'torch', 'scipy'}"
    modules = "volume, hagan_clinic.intensity, hagan_clinic.preparation, hagan_clinic.imageio"
    code = f"import sys, hagan_clinic.{modules}; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def loss_on_the_way_to_1_5_mm_and_back(path):
    """Mean difference in the brain, and difference of the means, as parts of its range."""
    volume = read(path)
    back = resample(resample(volume, resampled_grid(volume.grid, (1.5,) * 3)), volume.grid)
    brain = volume.array > 0
    scale = np.percentile(volume.array[brain], 99.5)
    difference = back.array - volume.array
    return np.abs(difference)[brain].mean() / scale, abs(difference.mean()) / scale


def test_a_real_brain_survives_resampling():
    blur, shift = loss_on_the_way_to_1_5_mm_and_back(SAMPLE)
    assert blur < 0.05
    assert shift < 1e-3


@pytest.mark.skipif(DATA is None, reason="HAGAN_TEST_DATA is not set")
@pytest.mark.parametrize("case", ["BraTS-GLI-00001-000", "TCGA-DU-7294", "OPENMS-patient19"])
def test_other_real_brains_survive_resampling(case):
    path = Path(DATA or "") / "pairs_1mm" / case / f"{case}_t1.nii.gz"
    blur, shift = loss_on_the_way_to_1_5_mm_and_back(path)
    assert blur < 0.055
    assert shift < 1e-3


@given(volumes())
def test_the_order_of_axes_does_not_make_another_lattice(volume):
    turned = to_canonical(volume).grid
    assert same_lattice(volume.grid, turned) and same_lattice(turned, volume.grid)
    moved = turned.affine.copy()
    moved[0, 3] += 0.02
    assert not same_lattice(volume.grid, Grid(turned.shape, moved))
