import pytest
import torch

from hagan_clinic.conditional.cgan3d_laf import LocalFusion
from hagan_clinic.conditional.cgan3d_patch import PatchTranslator

BOX = (16, 24, 16)


class Flawed(torch.nn.Module):
    """Gives what it is given, but wrong in the patch's near or far half along H."""

    def forward(self, patch):
        flaw = torch.ones_like(patch)
        flaw[:, :, :, :8] = 0.5
        return (patch + 1) * flaw - 1


def fusion(**changes):
    sizes = {"patch": 16, "cell": 8, "ridge": 1e-6, "levels": 4, "width": 2}
    network = LocalFusion(1, BOX, **sizes | changes).eval()
    network.unet = Flawed()
    return network


def volume(seed=0):
    torch.manual_seed(seed)
    return torch.rand(1, 1, *BOX) * 2 - 1


BRAIN = torch.ones(1, 1, *BOX)


def test_overlapping_patches_are_averaged():
    network = PatchTranslator(1, patch=16, levels=4, width=2)
    network.unet = Flawed()
    given = volume()
    target, scale = network(given)
    # Starts 0 and 8 along H: the first 8 rows are wrong, the next right once and wrong once.
    expected = given + 1
    expected[:, :, :, :8] *= 0.5
    expected[:, :, :, 8:16] *= 0.75
    assert torch.allclose(target, expected - 1, atol=1e-6)
    assert (scale == 1).all()


def test_before_a_fit_the_fusion_is_the_mean():
    mean = PatchTranslator(1, patch=16, levels=4, width=2)
    network = LocalFusion(1, BOX, patch=16, cell=8, ridge=0.01, levels=4, width=2)
    network.unet = mean.unet
    given = volume()
    with torch.inference_mode():
        assert torch.allclose(network(given)[0], mean(given)[0], atol=1e-5)


def test_a_fit_finds_which_patch_is_right_in_each_cell():
    """On volumes that it was not fitted on: the wrong half of a patch is not used any more."""
    network = fusion()
    for seed in range(3):
        network.fit(volume(seed), volume(seed), BRAIN)
    given = volume(9)
    target = network(given)[0]
    assert (target - given).abs().max() < 1e-3
    # The patch that is wrong there weighs 0.5 times as much as the right one in the least norm.
    weights = network.weights[0, :, 0]
    assert torch.allclose(weights[0], torch.tensor([2.0, 0.0]), atol=1e-3)
    assert torch.allclose(weights[1] @ torch.tensor([1.0, 0.5]), torch.tensor(1.0), atol=1e-3)
    assert torch.allclose(weights[2], torch.tensor([0.0, 1.0]), atol=1e-3)


def test_each_cell_has_weights_of_its_own():
    network = fusion()
    target = volume()
    target[..., 8:] = -1 + (target[..., 8:] + 1) * 0.5
    network.fit(volume(), target, BRAIN)
    left, right = network.weights[0, 0]
    assert torch.allclose(left, 2 * right, atol=1e-3)


def test_a_strong_ridge_leaves_the_mean():
    network = fusion(ridge=1e9)
    network.fit(volume(), -volume(), BRAIN)
    assert torch.allclose(network.weights, fusion().weights, atol=1e-4)


def test_outside_the_brain_nothing_is_fitted():
    network, brain = fusion(), BRAIN.clone()
    brain[:, :, :, :, 8:] = 0
    network.fit(volume(), volume(), brain)
    untouched = fusion().weights
    assert torch.equal(network.weights[:, :, 1], untouched[:, :, 1])
    assert not torch.equal(network.weights[:, :, 0], untouched[:, :, 0])


def test_background_stays_background():
    network = fusion()
    network.fit(volume(), volume(), BRAIN)
    assert torch.allclose(network(torch.full_like(BRAIN, -1.0))[0], -BRAIN)


def test_what_was_seen_long_ago_fades():
    network = fusion()
    for _ in range(100):
        network.fit(volume(), -volume(), BRAIN)
    for _ in range(400):
        network.fit(volume(1), volume(1), BRAIN)
    fresh = fusion()
    fresh.fit(volume(1), volume(1), BRAIN)
    assert torch.allclose(network.weights, fresh.weights, atol=1e-2)


@pytest.mark.parametrize("box", [(32, 48, 32), (16, 32, 48)])
def test_a_box_shorter_than_the_patch_is_translated_too(box):
    network = LocalFusion(1, box, patch=32, cell=8, ridge=0.01, levels=5, width=2).eval()
    with torch.inference_mode():
        target, _ = network(torch.randn(1, 1, *box))
    assert target.shape == (1, 1, *box)
