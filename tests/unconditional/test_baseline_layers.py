"""Layers of the unconditional baselines at 128 cubed, on the meta device: shapes without values."""

import pytest
import torch

from hagan_clinic.unconditional.alpha_gan import CodeCritic, CodeLayers
from hagan_clinic.unconditional.progressive_gan import (
    GrowingLayers,
    ShrinkingCritic,
    pixel_norm,
    schedule,
    with_spread,
)
from hagan_clinic.unconditional.vae_gan import (
    DecoderLayers,
    EncoderLayers,
    VolumeDiscriminator,
    divergence,
)
from hagan_clinic.unconditional.volumes import VolumeSizes
from hagan_clinic.unconditional.wgan_gp import Critic, NoiseLayers

PAPER = VolumeSizes()
VOLUME = (2, 1, 128, 128, 128)
KERNELS = (torch.nn.Conv3d, torch.nn.ConvTranspose3d, torch.nn.Linear)


def meta(kind, *arguments, **options):
    with torch.device("meta"):
        return kind(*arguments, **options)


def outputs(module, shape, *more):
    """Shapes that every layer with a kernel gives, in the order in which they run."""
    found = []
    for layer in module.modules():
        if isinstance(layer, KERNELS):
            layer.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:])))
    with torch.device("meta"):
        result = getattr(module, "at", module)(torch.empty(shape), *more)
    return found, tuple(result.shape)


def cubes(*pairs):
    return [(channels, side, side, side) for channels, side in pairs]


HALVED = cubes((32, 64), (64, 32), (128, 16), (256, 8), (512, 4))


def test_the_noise_layers_of_wgan_and_alpha_gan():
    found, shape = outputs(meta(NoiseLayers, PAPER), (2, 1000))
    assert found == cubes((1024, 4), (512, 8), (256, 16), (128, 32), (64, 64), (1, 128))
    assert shape == VOLUME


def test_the_critic_of_wgan_goes_on_slice_by_slice():
    found, shape = outputs(meta(Critic, PAPER), VOLUME)
    assert found == [*HALVED[:3], (256, 16, 8, 8), (512, 16, 4, 4), (1, 16, 1, 1)]
    assert shape == (2,)


def test_the_layers_of_vae_gan():
    found, shape = outputs(meta(DecoderLayers, PAPER), (2, 1000))
    wide = cubes((512, 4), (512, 8), (256, 16), (128, 32), (64, 64), (1, 128))
    assert found == [(512 * 8,), *wide] and shape == VOLUME
    found, _ = outputs(meta(EncoderLayers, PAPER), VOLUME)
    assert found == [*HALVED, (512, 2, 2, 2), (2048,), (1000,)]
    found, shape = outputs(meta(VolumeDiscriminator, PAPER, norm=True), VOLUME)
    assert found == [*HALVED, (1, 1, 1, 1)] and shape == (2,)


def test_the_layers_of_alpha_gan():
    found, shape = outputs(meta(CodeLayers, PAPER), VOLUME)
    assert found == [*HALVED, (1000, 1, 1, 1)] and shape == (2, 1000)
    found, shape = outputs(meta(CodeCritic, PAPER), (2, 1000))
    assert found == [(4096,), (4096,), (1,)] and shape == (2,)


def test_the_layers_of_the_grown_progressive_gan():
    grown = cubes((512, 4), (256, 8), (128, 16), (64, 32), (32, 64), (16, 128))
    found, shape = outputs(meta(GrowingLayers, PAPER), (2, 1000), 5, 1.0)
    pairs = [layer for layer in grown[1:] for _ in range(2)]
    assert found == [(512 * 64, 1, 1, 1), grown[0], *pairs, (1, 128, 128, 128)]
    assert shape == VOLUME
    found, shape = outputs(meta(ShrinkingCritic, PAPER), VOLUME, 5, 1.0)
    assert found[:3] == cubes((16, 128), (16, 128), (32, 128))
    assert found[-3:] == [(512, 4, 4, 4), (512, 1, 1, 1), (1, 1, 1, 1)]
    assert len(found) == len(pairs) + 4 and shape == (2,)


@pytest.mark.parametrize("side", [32, 64, 128])
def test_every_size_is_generated_and_scored(side):
    sizes = VolumeSizes((side,) * 3, latent=5, width=4)
    volume, last = (2, 1, side, side, side), sizes.doublings
    for layers in (NoiseLayers, DecoderLayers):
        assert outputs(meta(layers, sizes), (2, 5))[1] == volume
    for layers in (EncoderLayers, CodeLayers):
        assert outputs(meta(layers, sizes), volume)[1] == (2, 5)
    for discriminator in (meta(Critic, sizes), meta(VolumeDiscriminator, sizes, norm=False)):
        assert outputs(discriminator, volume)[1] == (2,)
    assert outputs(meta(GrowingLayers, sizes), (2, 5), last, 0.5)[1] == volume
    assert outputs(meta(ShrinkingCritic, sizes), volume, last, 0.5)[1] == (2,)


@pytest.mark.parametrize(
    ("critic", "shape"),
    [(Critic, (2, 1, 32, 32, 32)), (CodeCritic, (2, 5)), (VolumeDiscriminator, (2, 1, 32, 32, 32))],
)
def test_what_a_critic_says_of_a_sample_does_not_depend_on_its_batch(critic, shape):
    torch.manual_seed(0)
    options = {"norm": False} if critic is VolumeDiscriminator else {}
    discriminator = critic(VolumeSizes((32, 32, 32), latent=5, width=4), **options)
    given = torch.randn(shape)
    assert torch.allclose(discriminator(given)[1:], discriminator(given[1:]), atol=1e-6)


def test_a_divergence_is_that_of_two_normal_distributions():
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    given = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(given, standard).sum(1).mean()
    assert torch.allclose(divergence(mean, log_variance), expected)


def test_growing_settles_then_fades_into_every_size():
    steps = 1100
    at = [schedule(step, steps, 5) for step in range(steps)]
    assert at[0] == at[99] == (0, 1.0)
    assert at[100] == (1, 0.0)
    assert at[150] == (1, pytest.approx(0.5))
    assert at[200] == at[299] == (1, 1.0)
    assert at[-1] == (5, 1.0)
    assert [stage for stage, _ in at] == sorted(stage for stage, _ in at)


def test_a_new_size_begins_as_the_old_one_doubled():
    torch.manual_seed(0)
    sizes = VolumeSizes((32, 32, 32), latent=5, width=4)
    layers, critic = GrowingLayers(sizes), ShrinkingCritic(sizes)
    z = torch.randn(2, 5)
    small, large = layers.at(z, 1, 1.0), layers.at(z, 2, 0.0)
    doubled = torch.nn.functional.interpolate(small, scale_factor=2.0)
    assert torch.allclose(large, doubled, atol=1e-6)
    assert torch.allclose(critic(large, 2, 0.0), critic(small, 1, 1.0), atol=1e-5)


def test_a_generator_remembers_how_far_it_has_grown():
    torch.manual_seed(0)
    sizes = VolumeSizes((32, 32, 32), latent=5, width=4)
    layers, other = GrowingLayers(sizes), GrowingLayers(sizes)
    layers.stage.fill_(1)
    layers.share.fill_(0.25)
    other.load_state_dict(layers.state_dict())
    z = torch.randn(2, 5)
    made = other.eval()(z)
    assert made.shape == (2, 1, 32, 32, 32)
    assert torch.allclose(made[:, :, ::4, ::4, ::4], layers.at(z, 1, 0.25), atol=1e-6)


def test_pixels_are_normed_over_their_channels():
    normed = pixel_norm(torch.randn(2, 6, 3, 3, 3))
    assert torch.allclose(normed.square().mean(1), torch.ones(2, 3, 3, 3), atol=1e-4)
    assert torch.equal(pixel_norm(torch.zeros(1, 6)), torch.zeros(1, 6))


def test_the_spread_of_a_batch_is_a_channel_of_its_own():
    same = torch.randn(1, 4, 2, 2, 2).expand(3, -1, -1, -1, -1)
    assert with_spread(same).shape == (3, 5, 2, 2, 2)
    assert with_spread(same)[:, 4].max() < 1e-3
    different = torch.randn(3, 4, 2, 2, 2)
    expected = different.std(0, correction=0).mean()
    assert torch.allclose(with_spread(different)[:, 4], expected.expand(3, 2, 2, 2), atol=1e-3)
