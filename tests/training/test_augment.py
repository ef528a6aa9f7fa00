from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torchio as tio

from hagan_clinic.errors import InputError
from hagan_clinic.training.augment import (
    PROBABILITIES,
    STRENGTHS,
    AugmentConfig,
    BiasField,
    SignalNoise,
    augmentation,
)

NONE = AugmentConfig.none()
SHAPE = (32, 48, 40)
EVERY = AugmentConfig(
    flip=1.0, affine=1.0, anisotropy=1.0, bias_field=1.0, gamma=1.0, noise=1.0
)  # fmt: skip


def ball():
    """A bright ball in an empty background, off centre, with a gradient inside."""
    d, h, w = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    inside = (d**2 + (h + 0.2) ** 2 + (w - 0.2) ** 2) < 0.4
    values = np.where(inside, 0.2 + 0.3 * w + 0.2 * h, -1.0).astype(np.float32)
    return torch.from_numpy(values)[None], torch.from_numpy(inside)[None]


def subject():
    values, inside = ball()
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    return tio.Subject(
        source=tio.ScalarImage(tensor=values.clone(), affine=affine),
        target=tio.ScalarImage(tensor=values.clone(), affine=affine),
        brain=tio.LabelMap(tensor=inside.to(torch.uint8), affine=affine),
    )


def augmented(seed=0, **changes):
    torch.manual_seed(seed)
    return augmentation(replace(NONE, **changes))(subject())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: value}, f"{name} is {value}: expected a probability")
          for name in PROBABILITIES for value in (-0.1, 1.5, float("nan"))),
        *(({name: value}, f"{name} is {value}: expected 0 or more")
          for name in STRENGTHS for value in (-0.1, float("inf"))),
        ({"scale": 1.0}, "scale is 1.0: expected less than 1"),
        ({"erosion_voxels": 0}, "erosion_voxels is 0: expected at least 1"),
        ({"thickness": (3.0, 1.5)}, r"thickness is \(3.0, 1.5\): expected two multiples"),
        ({"thickness": (0.5, 1.5)}, "thickness"),
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_named(changes, message):
    with pytest.raises(InputError, match=f"augment: {message}"):
        AugmentConfig(**changes)


def test_every_probability_and_strength_is_checked():
    checked = {*PROBABILITIES, *STRENGTHS, "erosion_voxels", "thickness"}
    assert checked == {field.name for field in fields(AugmentConfig)}


def test_no_augmentation_changes_nothing():
    result, original = augmented(), subject()
    for name in ("target", "brain"):
        assert torch.equal(result[name].data, original[name].data)
    assert torch.allclose(result.source.data, original.source.data, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_values_stay_in_the_networks_range(seed):
    torch.manual_seed(seed)
    result = augmentation(EVERY)(subject())
    for image in (result.source, result.target):
        assert image.data.shape == (1, *SHAPE)
        assert image.data.min() >= -1 and image.data.max() <= 1
        assert image.data.min() < -0.999  # the background is still there
    assert set(result.brain.data.unique().tolist()) == {0, 1}


def test_flip_is_left_right_for_all_images_alike():
    result, original = augmented(flip=1.0), subject()
    for name in ("source", "target", "brain"):
        assert torch.allclose(result[name].data, original[name].data.flip(3), atol=1e-6)
    assert not torch.equal(original.brain.data, original.brain.data.flip(3))


@pytest.mark.parametrize("seed", range(3))
def test_affine_moves_source_target_and_brain_alike(seed):
    result = augmented(seed, affine=1.0)
    assert torch.allclose(result.source.data, result.target.data, atol=1e-6)
    moved = result.target.data > -0.5
    brain = result.brain.data > 0
    overlap = 2 * (moved & brain).sum() / (moved.sum() + brain.sum())
    assert overlap > 0.95
    assert not torch.equal(brain, subject().brain.data > 0)


def test_affine_fills_with_background():
    corners = augmented(affine=1.0, shift_mm=20.0, degrees=30.0)
    for image in (corners.source, corners.target):
        assert image.data[0, 0, 0, 0] == image.data[0, -1, -1, -1] == -1


@pytest.mark.parametrize("name", ["bias_field", "gamma", "noise", "anisotropy"])
def test_intensity_changes_the_source_alone(name):
    result, original = augmented(**{name: 1.0}), subject()
    assert torch.equal(result.target.data, original.target.data)
    assert torch.equal(result.brain.data, original.brain.data)
    assert not torch.allclose(result.source.data, original.source.data, atol=1e-3)


@pytest.mark.parametrize("name", ["bias_field", "gamma", "noise"])
def test_background_stays_empty(name):
    result = augmented(**{name: 1.0})
    assert (result.source.data[~ball()[1]] == -1).all()


def test_gamma_keeps_the_order_of_intensities():
    before, after = subject().source.data.flatten(), augmented(gamma=1.0).source.data.flatten()
    assert (after[before.argsort()].diff() >= 0).all()


def test_thick_slices_lose_detail_along_one_axis():
    checks = subject()
    checks.source.set_data(torch.from_numpy(np.indices(SHAPE).sum(0) % 2 * 2.0 - 1)[None].float())
    torch.manual_seed(0)
    config = replace(NONE, anisotropy=1.0, thickness=(3.0, 3.0))
    result = augmentation(config)(checks).source.data
    changes = sorted(float(result.diff(dim=axis).abs().mean()) for axis in (1, 2, 3))
    assert changes[0] < 0.8 * changes[1], changes


def test_bias_field_is_torchios_to_a_hundredth():
    shape = (112, 144, 112)
    image = tio.Subject(source=tio.ScalarImage(tensor=torch.full((1, *shape), 0.5)))
    torch.manual_seed(1)
    ours = BiasField(0.2, p=1.0)(image).source.data / 0.5
    torch.manual_seed(1)
    torch.rand(1)  # every transform first draws whether it is applied
    coefficients = tio.RandomBiasField().get_params(3, (-0.2, 0.2))
    theirs = torch.from_numpy(tio.BiasField.generate_bias_field(image.source.data, 3, coefficients))
    ratio = ours / theirs
    assert theirs.std() / theirs.mean() > 0.05
    assert (ratio / ratio.mean() - 1).abs().max() < 0.01


def test_bias_field_keeps_the_mean_over_the_head_in_place():
    _, inside = ball()
    image = tio.Subject(source=tio.ScalarImage(tensor=inside.float() * 0.5))
    torch.manual_seed(0)
    result = BiasField(0.5, p=1.0)(image).source.data[inside]
    assert result.mean() == pytest.approx(0.5, abs=1e-4)
    assert result.std() > 0.02


def test_noise_has_at_most_the_stated_strength():
    strengths = []
    for seed in range(20):
        torch.manual_seed(seed)
        image = tio.Subject(source=tio.ScalarImage(tensor=torch.full((1, 24, 24, 24), 0.5)))
        strengths.append(float(SignalNoise(0.1, p=1.0)(image).source.data.std()))
    assert 0 < min(strengths) < 0.04 and 0.07 < max(strengths) < 0.103


def test_every_source_channel_is_augmented():
    two = subject()
    two.source.set_data(two.source.data.repeat(2, 1, 1, 1))
    torch.manual_seed(0)
    result = augmentation(EVERY)(two).source.data
    assert result.shape == (2, *SHAPE)
    original = subject().source.data[0]
    assert not any(torch.allclose(channel, original, atol=0.01) for channel in result)


def test_same_seed_gives_the_same_volume():
    torch.manual_seed(5)
    first = augmentation(EVERY)(subject()).source.data
    torch.manual_seed(5)
    second = augmentation(EVERY)(subject()).source.data
    torch.manual_seed(6)
    third = augmentation(EVERY)(subject()).source.data
    assert torch.equal(first, second) and not torch.equal(first, third)
