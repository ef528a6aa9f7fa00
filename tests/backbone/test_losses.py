import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.losses import (
    fake_loss,
    laplace_nll,
    real_loss,
    reconstruction_loss,
    regional_mean,
    structure_loss,
)
from hagan_clinic.metrics.image_quality import ssim


def ball(side=24):
    axes = torch.stack(torch.meshgrid(*[torch.arange(side) - side / 2] * 3, indexing="ij"))
    return (axes.square().sum(0) < (side / 3) ** 2).float()[None, None]


def test_every_sample_weighs_the_same_whatever_its_region():
    values = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1).expand(2, 1, 4, 4, 4)
    region = torch.ones(2, 1, 4, 4, 4)
    region[0, :, 1:] = 0
    assert regional_mean(values, region) == pytest.approx(2.0)


def test_voxels_outside_the_region_do_not_count():
    target, region = torch.zeros(1, 1, 24, 24, 24), ball()
    prediction = torch.where(region > 0, 0.5, 100.0)
    assert reconstruction_loss(prediction, target, region) == pytest.approx(0.5**2 / 2)
    far = torch.where(region > 0, 3.0, 100.0)
    assert reconstruction_loss(far, target, region) == pytest.approx(3.0 - 0.5)


def test_the_likelihood_is_least_at_the_mean_absolute_error():
    error = torch.from_numpy(np.random.default_rng(0).laplace(0, 0.3, (1, 1, 32, 32, 32)))
    region = torch.ones_like(error)
    losses = {b: laplace_nll(torch.full_like(error, b), error, region) for b in (0.2, 0.3, 0.45)}
    assert min(losses, key=losses.get) == 0.3
    assert float(losses[0.3]) == pytest.approx(math.log(0.6) + 1, abs=0.02)


def test_the_likelihood_leaves_the_image_alone():
    error = torch.randn(1, 1, 4, 4, 4, requires_grad=True)
    scale = torch.ones(1, 1, 4, 4, 4, requires_grad=True)
    laplace_nll(scale, error, torch.ones(1, 1, 4, 4, 4)).backward()
    assert error.grad is None
    assert scale.grad.abs().max() > 0


def test_a_thin_slab_has_a_window_as_thin():
    """Of one slice it is that of a slab in which every slice is the same."""
    torch.manual_seed(0)
    prediction, target = torch.rand(2, 1, 1, 1, 16, 16) * 2 - 1
    brain = torch.ones_like(target)
    of_slice = structure_loss(prediction, target, brain)
    for depth in (4, 8):
        slabs = (image.expand(-1, -1, depth, -1, -1) for image in (prediction, target, brain))
        assert float(structure_loss(*slabs)) == pytest.approx(float(of_slice), rel=1e-4)


def test_the_structure_loss_follows_ssim():
    torch.manual_seed(0)
    brain = ball()
    smooth = functional.avg_pool3d(torch.randn(1, 1, 28, 28, 28), 5, stride=1)
    target = (3 * smooth).clamp(-1, 1)
    losses, similarities = [], []
    for noise in (0.0, 0.1, 0.3, 1.0):
        prediction = (target + noise * torch.randn_like(target)).clamp(-1, 1)
        losses.append(float(structure_loss(prediction, target, brain)))
        pair = [((image + 1) / 2)[0, 0].numpy() for image in (prediction, target)]
        similarities.append(ssim(*pair, brain[0, 0].numpy() > 0))
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses == sorted(losses)
    assert np.allclose(1 - np.array(losses), similarities, atol=0.06)


def test_adversarial_losses_are_binary_cross_entropy_with_logits():
    logits = torch.tensor([-2.0, 0.5, 3.0])
    for loss, label in ((real_loss, 1.0), (fake_loss, 0.0)):
        expected = functional.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, label)
        )
        assert torch.allclose(loss(logits), expected)
