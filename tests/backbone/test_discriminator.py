import pytest
import torch

from hagan_clinic.backbone.discriminator import LowResolutionDiscriminator, SlabDiscriminator


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("levels", "expected"), [(3, 4_630_833), (2, 4_599_073)])
def test_the_slab_discriminator_has_the_parameters_of_the_paper(levels, expected):
    assert parameters(SlabDiscriminator(1, levels)) == expected


@pytest.mark.parametrize(("levels", "expected"), [(4, 2_771_425), (3, 2_642_369)])
def test_the_low_resolution_discriminator_has_the_parameters_of_the_paper(levels, expected):
    assert parameters(LowResolutionDiscriminator(1, levels)) == expected


@pytest.mark.parametrize("sides", [(16, 128, 128), (32, 112, 80), (48, 128, 112), (8, 32, 48)])
def test_any_slab_gives_one_logit_a_sample(sides):
    logits = SlabDiscriminator(2)(torch.randn(2, 2, *sides), torch.tensor([0.0, 1.0]))
    assert logits.shape == (2,)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("sides", [(32, 32, 32), (28, 32, 28), (4, 8, 4)])
def test_any_low_resolution_volume_gives_one_logit_a_sample(sides):
    logits = LowResolutionDiscriminator(2)(torch.randn(2, 2, *sides))
    assert logits.shape == (2,)
    assert torch.isfinite(logits).all()


def test_the_slab_discriminator_sees_the_position():
    torch.manual_seed(0)
    discriminator = SlabDiscriminator(1).eval()
    slab = torch.randn(1, 1, 16, 32, 32)
    low, high = (discriminator(slab, torch.tensor([position])) for position in (0.0, 1.0))
    assert (low - high).abs() > 1e-4


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    discriminator = LowResolutionDiscriminator(1)
    for _ in range(30):
        discriminator(torch.randn(1, 1, 8, 8, 8))
    for layer in [*discriminator.layers, discriminator.head]:
        largest = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
        assert abs(float(largest) - 1) < 0.05
