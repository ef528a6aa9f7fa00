"""What a scanner does, against TorchIO."""

import numpy as np
import pytest
import torch
import torchio as tio

from hagan_clinic.data.scanner import (
    Lattice,
    bias_field,
    contrast,
    noisy,
    thick_margin,
    thick_slices,
)

SHAPE = (112, 144, 96)
CPU = torch.device("cpu")


def lattices(shape, start=(0, 0, 0), step=1):
    return [
        Lattice(first, step, (side - first) // step, side)
        for first, side in zip(start, shape, strict=True)
    ]


@pytest.fixture(scope="module")
def coefficients():
    return np.random.default_rng(0).uniform(-0.2, 0.2, (2, 20))


def test_the_bias_field_is_torchios_to_a_hundredth(coefficients):
    field = bias_field(coefficients, lattices(SHAPE), CPU)
    for ours, terms in zip(field, coefficients, strict=True):
        theirs = tio.BiasField.generate_bias_field(torch.empty(1, *SHAPE), 3, terms)
        assert theirs.std() / theirs.mean() > 0.05
        assert np.abs(ours.numpy() / theirs - 1).max() < 0.01


def test_a_part_of_the_bias_field_is_that_of_the_whole(coefficients):
    whole = bias_field(coefficients, lattices(SHAPE), CPU)
    part = bias_field(coefficients, lattices(SHAPE, (31, 7, 50)), CPU)
    assert torch.allclose(part, whole[:, 31:, 7:, 50:], rtol=1e-5)
    coarse = bias_field(coefficients, lattices(SHAPE, step=4), CPU)
    assert torch.allclose(coarse, whole[:, ::4, ::4, ::4], rtol=1e-5)


def test_contrast_is_torchios_gamma():
    image = torch.rand(2, 8, 9, 10)
    gamma = np.array([0.8, 1.3])
    subject = tio.Subject(image=tio.ScalarImage(tensor=image.clone()))
    theirs = tio.Gamma({"image": gamma.tolist()})(subject).image.data
    assert torch.allclose(contrast(image.clone(), gamma), theirs, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("thickness", [1.637, 2.371, 3.0])
def test_thick_slices_are_torchios_anisotropy(axis, thickness):
    shape = (30, 34, 37)
    image = torch.from_numpy(np.random.default_rng(1).random((1, *shape), np.float32))
    transform = tio.RandomAnisotropy(axes=(axis,), downsampling=(thickness, thickness))
    theirs = transform(tio.Subject(image=tio.ScalarImage(tensor=image.clone()))).image.data
    (lattice,) = lattices(shape)[axis : axis + 1]
    ours = thick_slices(image, axis, thickness, lattice, lattice)
    inner = int(2 * thickness), shape[axis] - 4 * int(2 * thickness) // 2
    assert (image - theirs).abs().mean() > 0.1
    # TorchIO takes either voxel where a slice's centre lies half-way, and cuts at the border.
    difference = (ours - theirs).narrow(axis + 1, *inner).abs()
    assert (difference > 1e-4).float().mean() < 0.02


def test_a_part_in_thick_slices_is_that_of_the_whole():
    image, side = torch.rand(1, 60, 5, 6), 60
    whole = thick_slices(image, 0, 2.7, Lattice(0, 1, side, side), Lattice(0, 1, side, side))
    margin = thick_margin((0, 2.7))[0]
    for first, last in ((0, 20), (22, 41), (45, 60)):
        low, high = max(first - margin, 0), min(last + margin, side)
        part = thick_slices(
            image[:, low:high], 0, 2.7,
            Lattice(low, 1, high - low, side), Lattice(first, 1, last - first, side),
        )  # fmt: skip
        assert torch.allclose(part, whole[:, first:last], atol=1e-5)


def test_noise_is_where_there_is_signal():
    image = torch.zeros(1, 40, 40, 40)
    image[:, 10:] = 0.5
    result, again = (noisy(image.clone(), 0.1, torch.Generator().manual_seed(0)) for _ in range(2))
    assert not result[:, :10].any()
    assert result[:, 10:].std() == pytest.approx(0.1, rel=0.02)
    assert result[:, 10:].mean() == pytest.approx(0.5, abs=0.002)
    assert torch.equal(result, again)
