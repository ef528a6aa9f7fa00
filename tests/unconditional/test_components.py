"""The linear model inside G and E."""

import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.slab import take_slabs
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional import HAGAN, HAGANConfig, UnconditionalConfig
from hagan_clinic.unconditional.components import compact, fit_components

LATENT = 5
SIZES = {"size": (32, 32, 32), "slab": 8, "width": 64, "discriminator_width": 64}


def volumes(count=24):
    """Smooth volumes in a frame of air, of six factors in all."""
    torch.manual_seed(3)
    patterns = functional.interpolate(torch.randn(6, 1, 4, 4, 4), size=24, mode="trilinear")
    mixed = torch.einsum("nk,kcdhw->ncdhw", torch.randn(count, 6) * 0.05, patterns)
    return functional.pad(mixed, (4,) * 6, value=-1.0)


def started(**given):
    torch.manual_seed(0)
    wanted = {"latent": LATENT, "components": True, "end_to_end": True}
    late = {"steps": 100, "adversarial_start": 0.1}
    model = HAGAN(UnconditionalConfig(**SIZES | wanted | late | given)).eval()
    model.start(iter(volumes().split(6)))
    return model


@torch.no_grad()
def test_an_untrained_model_brings_back_what_the_components_hold():
    model, real = started(latent=6), volumes()
    found = fit_components(iter([real]), 6, 2)
    scores = model.encode(real)
    assert torch.allclose(scores.mean(0), torch.zeros(6), atol=1e-3)
    assert torch.allclose(torch.cov(scores.T), torch.eye(6), atol=1e-2)
    back = functional.avg_pool3d(model(scores), 2)
    coarse = functional.avg_pool3d(real, 2)
    mean = functional.avg_pool3d(found.mean, 2)
    # Six factors are all there is; what is left is interpolation between coarse voxels.
    assert (back - coarse).square().mean() < 0.1 * (mean - coarse).square().mean()


@torch.no_grad()
def test_slabs_with_components_are_what_the_whole_volume_is():
    model, starts = started(), torch.tensor([4, 24])
    for parameter in model.autoencoder.generator.high.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    z = torch.randn(2, LATENT)
    whole, slabs = model(z), model.slabs(model.context(z), starts)
    assert (slabs - take_slabs(whole, starts, 8)).abs().max() < 1e-4
    assert whole.abs().max() <= 1


@torch.no_grad()
def test_the_compact_form_computes_the_same_from_fewer_numbers():
    model, z = started(), torch.randn(2, LATENT)
    image, scores = model(z), model.encode(volumes(2))
    linear = model.autoencoder.generator.trunk.linear
    before = linear.axes.numel()
    compact(model)
    assert linear.axes.numel() < before / 2
    assert torch.allclose(model(z), image, atol=1e-5)
    assert torch.allclose(model.encode(volumes(2)), scores, atol=1e-4)


def test_one_step_trains_generator_and_encoder_together():
    model, real = started(), volumes(2)
    batch = SynthesisBatch.cut(real, [4, 8], 8, [0, 1])
    held = {name: value.clone() for name, value in model.named_buffers()}
    updated = []

    def update(name, loss):
        updated.append(name)
        loss.backward()

    terms = model.training_step(batch, 0, update)
    assert updated == ["autoencoder"] and "generator" not in terms
    heads = (model.autoencoder.generator.high.last, model.autoencoder.encoder.latent.last)
    for head in heads:
        head.weight.data.normal_(0, 0.01)
    model.zero_grad()
    model.training_step(batch, 0, update)
    reached = {
        name.split(".")[2]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
    assert {"trunk", "high", "slab", "latent"} <= reached  # E^H too, through E^G
    assert all(torch.equal(held[name], value) for name, value in model.named_buffers())
    updated.clear()
    terms = model.training_step(batch, 10, update)
    assert updated == ["discriminator", "autoencoder"] and "generator" in terms


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"components": True}, "needs end_to_end"),
        ({"context": 16}, "needs end_to_end"),
    ],
)
def test_what_equation_6_cannot_train_is_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        UnconditionalConfig(**SIZES, **sizes)


def test_components_stand_on_one_level():
    with pytest.raises(InputError, match="components with 2 levels: expected 1"):
        HAGANConfig(size=(64, 64, 64), slab=8, levels=2, components=True)


def test_the_gradient_at_real_images_is_penalised():
    real = volumes(2)
    batch = SynthesisBatch.cut(real, [4, 8], 8, [0, 1])
    losses = {}
    for r1 in (0.0, 10.0):
        torch.manual_seed(0)
        model = HAGAN(UnconditionalConfig(**SIZES, latent=LATENT, end_to_end=True, r1=r1))
        torch.manual_seed(1)
        seen = {}
        terms = model.training_step(
            batch, 0, lambda name, loss, seen=seen: seen.update({name: loss})
        )
        losses[r1] = seen["discriminator"].item()
    assert terms["r1"] > 0
    assert losses[10.0] == pytest.approx(losses[0.0] + 5 * terms["r1"].item(), rel=1e-4)


def test_fewer_volumes_than_numbers_of_z_are_refused():
    with pytest.raises(InputError, match="4 volumes for a latent of 5: expected more"):
        fit_components(iter([volumes(4)]), LATENT, 2)
