"""Detail that G^H draws into the linear model's image, and the discriminator of patches."""

import pytest
import torch
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.slab import take_slabs
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional import HAGAN, HAGANConfig, UnconditionalConfig
from hagan_clinic.unconditional.patch_discriminator import (
    PatchDiscriminator,
    patch_losses,
    update_patch_discriminator,
)

DEEP = (64, 32, 32)
SETTINGS = {
    "size": DEEP,
    "slab": 8,
    "latent": 5,
    "width": 64,
    "context": 16,
    "discriminator_width": 64,
    "components": True,
    "end_to_end": True,
    "refinements": 2,
    "low_res_branch": False,
    "diffaugment": False,
    "discriminator": "patches",
}


def volumes(count=24):
    """Blobs in a frame of air."""
    torch.manual_seed(3)
    blobs = functional.interpolate(torch.randn(count, 1, 7, 3, 3), size=(56, 24, 24))
    return functional.pad(0.3 * blobs, (4,) * 6, value=-1.0).clamp(-1, 1)


def started(**given):
    torch.manual_seed(0)
    model = HAGAN(UnconditionalConfig(**SETTINGS | given))
    model.start(iter(volumes().split(6)))
    return model


def moved(model, size=0.05):
    """The model away from its start, where its last layers are zero."""
    for parameter in model.autoencoder.generator.high.parameters():
        parameter.data.add_(size * torch.randn_like(parameter))
    return model


def losses_of(model, batch):
    losses = {}
    terms = model.training_step(batch, 0, lambda name, loss: losses.update({name: loss.item()}))
    return losses, {name: term.item() for name, term in terms.items()}


@torch.no_grad()
def test_refined_slabs_are_what_the_whole_volume_is():
    model, starts, z = moved(started()).eval(), torch.tensor([24, 56]), torch.randn(2, 5)
    assert model.config.halo == 12 < 24  # less than the volume on the inner side
    whole, slabs = model(z), model.slabs(model.context(z), starts)
    assert (slabs - take_slabs(whole, starts, 8)).abs().max() < 1e-4
    refined = whole - model.autoencoder.generator.high.linear(model.context(z))
    assert refined.abs().max() > 0.01


@torch.no_grad()
def test_an_untrained_refinement_adds_nothing():
    model, z = started().eval(), torch.randn(2, 5)
    linear = model.autoencoder.generator.trunk.linear(z).clamp(-1, 1)
    assert torch.allclose(model(z), linear, atol=1e-5)


def test_a_step_updates_patches_then_generator_and_encoder():
    model = moved(started(weight_coarse=50.0, weight_features=5.0))
    batch, updated = SynthesisBatch.cut(volumes(2), [4, 24], 8, [0, 1]), []

    def update(name, loss):
        updated.append(name)
        loss.backward()

    terms = model.training_step(batch, 0, update)
    assert updated == ["discriminator", "autoencoder"]
    assert set(terms) == {"discriminator", "reconstruction", "coarse", "generator", "features"}
    judge = model.slab_discriminator
    assert isinstance(judge, PatchDiscriminator)
    assert all(parameter.grad.any() for parameter in judge.parameters())
    assert all(p.grad.any() for p in model.autoencoder.generator.high.refinement.parameters())


@pytest.mark.parametrize("name", ["coarse", "features"])
def test_weights_are_of_their_terms(name):
    batch = SynthesisBatch.cut(volumes(2), [4, 24], 8, [0, 1])
    without, _ = losses_of(moved(started()), batch)
    with_term, terms = losses_of(moved(started(**{f"weight_{name}": 3.0})), batch)
    assert terms[name] > 1e-3
    added = with_term["autoencoder"] - without["autoencoder"]
    assert added == pytest.approx(3 * terms[name], rel=1e-3)
    assert with_term["discriminator"] == pytest.approx(without["discriminator"])


def test_the_coarse_term_holds_samples_to_the_linear_model():
    """It grows by the square of a change of brightness."""
    batch = SynthesisBatch.cut(volumes(2), [4, 24], 8, [0, 1])
    coarse = []
    for brighter in (0.0, 0.2):
        model = started(weight_coarse=1.0)
        model.autoencoder.generator.high.refinement.last.bias.data.fill_(brighter)
        coarse.append(losses_of(model, batch)[1]["coarse"])
    assert coarse[1] - coarse[0] == pytest.approx(0.2**2, rel=0.1)


def test_samples_of_an_untrained_refinement_are_where_the_coarse_term_holds_them():
    model, batch = started(weight_coarse=1.0), SynthesisBatch.cut(volumes(2), [4, 24], 8, [0, 1])
    _, terms = losses_of(model, batch)
    real = batch.source_window
    with torch.no_grad():
        made = model.slabs(model.context(model.encode(volumes(2))), torch.tensor([4, 24]))
    of_reconstructions = functional.mse_loss(
        *(functional.avg_pool3d(one, 4) for one in (made, real))
    )
    assert terms["coarse"] == pytest.approx(of_reconstructions.item() / 2, rel=1e-3)


def test_the_encoder_stays_linear():
    model = moved(started(weight_coarse=1.0))
    batch = SynthesisBatch.cut(volumes(2), [4, 24], 8, [0, 1])
    model.training_step(batch, 0, lambda name, loss: loss.backward())
    assert not [
        name for name, p in model.autoencoder.encoder.named_parameters() if p.grad is not None
    ]


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        model = moved(started(gradient_checkpointing=checkpointing))
        model(torch.ones(1, 5)).square().mean().backward()
        gradients.append(model.autoencoder.generator.high.refinement.first.weight.grad)
    assert model.autoencoder.generator.high.refinement.checkpointing
    assert gradients[0].any() and torch.allclose(*gradients, atol=1e-7)


def test_places_without_brain_do_not_count():
    torch.manual_seed(0)
    judge = PatchDiscriminator(32)
    real, fake = torch.randn(2, 1, 8, 32, 32).tanh(), torch.randn(2, 1, 8, 32, 32).tanh()
    everywhere = torch.zeros(2, 1, 8, 32, 32)
    half = everywhere.clone()
    half[..., 16:] = -1  # air of the linear model
    changed = fake.clone()
    changed[..., 30:] *= -1  # beyond what places left of it see
    for of_both in zip(
        *(patch_losses(judge, real, one, half) for one in (fake, changed)), strict=True
    ):
        assert torch.allclose(*of_both)
    losses = []
    for one in (fake, changed):
        update_patch_discriminator(judge, real, one, half, lambda _, loss: losses.append(loss))
    assert torch.allclose(*losses)
    assert not torch.allclose(
        *(patch_losses(judge, real, one, everywhere)[0] for one in (fake, changed))
    )


def test_hinges_of_scales_are_summed():
    torch.manual_seed(0)
    judge = PatchDiscriminator(32)
    real, fake = torch.randn(1, 1, 8, 32, 32).tanh(), torch.randn(2, 1, 8, 32, 32).tanh()
    losses = []
    terms = update_patch_discriminator(
        judge, real, fake, torch.zeros(2, 1, 8, 32, 32), lambda _, loss: losses.append(loss)
    )
    wanted = sum(
        (1 - of_real).relu().mean() + (1 + of_fake).relu().mean()
        for of_real, of_fake in zip(judge(real).logits, judge(fake).logits, strict=True)
    )
    assert torch.allclose(losses[0], wanted) and torch.allclose(terms["discriminator"], wanted)
    assert len(judge(real).logits) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": False, "refinements": 0}, "discriminator patches needs components"),
        ({"low_res_branch": True}, "patches needs --set low_res_branch=false$"),
        ({"r1": 1.0, "diffaugment": True}, "needs --set diffaugment=false --set r1=0$"),
        ({"discriminator": "slab", "weight_features": 1.0}, "weight_features needs --set discr"),
        (
            {"discriminator": "slab", "components": False},
            "refinements is 2: expected 0, or more with",
        ),
        (
            {"refinements": 0, "discriminator": "slab", "components": False, "weight_coarse": 1.0},
            "weight_coarse needs components",
        ),
        ({"discriminator": "pixels"}, "discriminator is 'pixels': expected one of slab, patches"),
        ({"variant": "released"}, "no variant released"),
        ({"weight_prior": 1.0}, "weight_prior is 1 with refinements: expected 0"),
        ({"attention": True}, "refinements with classes or attention: expected neither"),
        ({"refinements": -1}, "refinements is -1: expected 0, or more"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        UnconditionalConfig(**SETTINGS | changes)


def test_refinements_need_an_image_to_refine():
    with pytest.raises(InputError, match="refinements is 2: expected 0, or more with components"):
        HAGANConfig(refinements=2)
