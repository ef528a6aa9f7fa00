"""Moved volumes against TorchIO's affine and flip, and boxes against the whole."""

import nibabel as nib
import numpy as np
import pytest
import torch
import torchio as tio
from scipy import ndimage

from hagan_clinic.data.averages import area_averages, filled_box
from hagan_clinic.data.draws import Affine, Drawn
from hagan_clinic.data.moving import Box, Wanted, moved, source_box

SHAPE = (44, 60, 52)
SPACING = (1.5, 1.0, 2.0)
MIXED = Affine((1.08, 0.93, 1.05), (9.0, -12.0, 14.0), (4.0, -5.0, 6.0))
AFFINES = [
    Affine((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (7.3, -4.1, 2.9)),
    Affine((1.12, 0.9, 0.95), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    Affine((1.0, 1.0, 1.0), (15.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    Affine((1.0, 1.0, 1.0), (0.0, -15.0, 0.0), (0.0, 0.0, 0.0)),
    Affine((1.0, 1.0, 1.0), (0.0, 0.0, 15.0), (0.0, 0.0, 0.0)),
    MIXED,
]


@pytest.fixture(scope="module")
def texture():
    """A smooth texture in air, in bytes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 1.5)
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    inside = ndimage.gaussian_filter((sum(axis**2 for axis in axes) < 0.6).astype(float), 1)
    values = np.clip(128 + 900 * noise, 20, 255) * inside
    return torch.from_numpy(values.astype(np.uint8))[None]


@pytest.fixture(scope="module")
def head(test_data):
    """A real head of 1.5 mm, in bytes."""
    patient = sorted((test_data / "lgg_mni").glob("TCGA*"))[0]
    values = nib.load(patient / f"{patient.name}_t1.nii.gz").get_fdata()
    return torch.from_numpy(values.transpose(2, 1, 0).astype(np.uint8))[None]


def ours(volume, drawn, spacing, box=None, *, nearest=False):
    """A box of the moved volume, from no more of it than is said to be needed."""
    shape = tuple(volume.shape[1:])
    matrix = drawn.matrix(shape, spacing)
    whole = box is None
    box = box or Box.whole(shape)
    held = source_box(box, matrix, shape)
    if not whole:
        held = filled_box(torch.from_numpy(area_averages(volume.numpy())), held)
    (result,) = moved([Wanted(held.of(volume), box, nearest)], held, matrix)
    return result


def torchios(volume, affine, spacing, kind=tio.ScalarImage):
    transform = tio.Affine(affine.scales, affine.degrees, affine.shift_mm, default_pad_value=0)
    image = kind(tensor=volume.float(), affine=np.diag([*spacing, 1.0]))
    return transform(tio.Subject(image=image)).image.data


@pytest.mark.parametrize("affine", AFFINES)
def test_an_affine_is_torchios(texture, affine):
    theirs = torchios(texture, affine, SPACING)
    difference = (ours(texture, Drawn(affine=affine), SPACING) - theirs).abs()
    assert (texture - theirs).abs().mean() > 5
    # Half a voxel beside it would differ by 5 in the mean.
    assert difference.mean() < 0.6
    assert difference.quantile(0.999) < 15


@pytest.mark.parametrize("affine", AFFINES)
def test_a_real_head_is_moved_as_by_torchio(head, affine):
    spacing = (1.5, 1.5, 1.5)
    theirs = torchios(head, affine, spacing)
    result = ours(head, Drawn(affine=affine), spacing)
    difference = (result - theirs)[:, 3:-3, 3:-3, 3:-3].abs()  # TorchIO cuts a head at the border
    assert difference.mean() < 0.2
    assert np.quantile(difference, 0.999) < 7
    assert float(result.std()) == pytest.approx(float(theirs.std()), rel=1e-3)
    mask = (head > 30).byte()
    brain = ours(mask, Drawn(affine=affine), spacing, nearest=True)
    theirs = torchios(mask, affine, spacing, tio.LabelMap)
    assert set(brain.unique().tolist()) == {0, 1}
    assert 2 * (brain * theirs).sum() / (brain.sum() + theirs.sum()) > 0.995


def test_a_flip_is_left_right_and_exact(texture):
    theirs = tio.Flip(axes=(2,))(tio.Subject(image=tio.ScalarImage(tensor=texture.float())))
    assert torch.equal(ours(texture, Drawn(flip=True), SPACING), theirs.image.data)


def test_a_flip_comes_before_the_affine(texture):
    flipped = ours(texture.flip(3), Drawn(affine=MIXED), SPACING)
    assert torch.allclose(
        ours(texture, Drawn(flip=True, affine=MIXED), SPACING), flipped, atol=0.01
    )


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("drawn", [Drawn(), Drawn(flip=True), Drawn(flip=True, affine=MIXED)])
def test_a_box_is_that_of_the_whole(texture, drawn, nearest):
    whole = ours(texture, drawn, SPACING, nearest=nearest)
    assert whole.std() > 20
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = tuple(int(rng.integers(side - 16)) for side in SHAPE)
        stop = tuple(first + int(rng.integers(1, 17)) for first in start)
        box = Box(start, stop)
        part = ours(texture, drawn, SPACING, box, nearest=nearest)
        difference = (part - box.of(whole)).abs()
        # Rounded coordinates: a place half-way between two voxels is nearest to either.
        assert (difference > 0.02).float().mean() < (0.003 if nearest else 1e-9)


def test_boxes_moved_together_are_those_moved_alone(texture):
    matrix = Drawn(affine=MIXED).matrix(SHAPE, SPACING)
    first, second = Box((4, 0, 0), (30, 60, 52)), Box((13, 8, 4), (21, 50, 52))
    both = moved(
        [Wanted(texture, first), Wanted(texture, second, nearest=True)], Box.whole(SHAPE), matrix
    )
    assert torch.allclose(both[0], ours(texture, Drawn(affine=MIXED), SPACING, first), atol=0.01)
    alone = ours(texture, Drawn(affine=MIXED), SPACING, second, nearest=True)
    assert (both[1] != alone).float().mean() < 0.003


def test_what_comes_from_outside_is_air(texture):
    bright = torch.full_like(texture, 255)
    far = Affine((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (500.0, 0.0, 0.0))
    assert not ours(bright, Drawn(affine=far), SPACING).any()
    shifted = ours(bright, Drawn(affine=Affine((1, 1, 1), (0, 0, 0), (15.0, 0, 0))), SPACING)
    assert not shifted[:, :10].any() and (shifted[:, 10:] == 255).all()


def test_what_is_held_is_little_more_than_what_is_needed():
    box = Box((16, 0, 0), (24, *SHAPE[1:]))
    assert source_box(box, Drawn().matrix(SHAPE, SPACING), SHAPE) == box
    shift = Drawn(affine=Affine((1, 1, 1), (0, 0, 0), (6.0, 0, 0))).matrix(SHAPE, SPACING)
    held = source_box(box, shift, SHAPE)
    assert held.start[0] >= 12 - 4 and held.stop[0] <= 20 + 4
