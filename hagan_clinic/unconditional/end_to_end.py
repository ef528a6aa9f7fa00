"""The step of ``end_to_end``: G and E learn at once, as an autoencoder that also deceives D."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.losses import structure_loss
from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.optimisation import Update, frozen
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional.patch_discriminator import (
    PatchDiscriminator,
    patch_losses,
    update_patch_discriminator,
)
from hagan_clinic.unconditional.prior import prior_discrepancy
from hagan_clinic.unconditional.targets import Targets

if TYPE_CHECKING:
    from hagan_clinic.unconditional.hagan import HAGAN

SIGNAL = -0.98
"""What lies below it in a volume without skull is air."""


def train_end_to_end(
    model: "HAGAN",
    batch: SynthesisBatch,
    real: Targets,
    label: Tensor | None,
    step: int,
    update: Update,
) -> dict[str, Tensor]:
    """G and E at once, and D before them, on what they bring back and on samples alike.

    G makes both in one pass, which D is then updated by and after that deceived with.
    """
    settings = model.settings
    terms: dict[str, Tensor] = {}
    generator, encoder = model.autoencoder.generator, model.autoencoder.encoder
    adversarial = step >= round(settings.adversarial_start * settings.steps)
    # What G draws into the linear model's image is no news for z: E stays linear.
    with torch.set_grad_enabled(not settings.refinements):
        encoded = encoder.encode(whole_of(batch))
    latents, starts, count = encoded, real.starts, len(encoded)
    if adversarial:
        drawn = noise(settings.seed, batch.index, 0, model.config.latent).to(encoded)
        latents, starts = torch.cat([encoded, drawn]), [2 * of_level for of_level in starts]
        label = None if label is None else label.repeat(2)
    context = generator.context(latents, model.one_hot(label))
    slabs = model.pyramid(context, starts)
    low = generator.low(context) if settings.low_res_branch else None
    patches = model.slab_discriminator
    compares = settings.weight_coarse or isinstance(patches, PatchDiscriminator)
    linear = generator.linear(context, starts[0]) if compares else None
    if adversarial and isinstance(patches, PatchDiscriminator):
        assert linear is not None
        terms |= update_patch_discriminator(
            patches, real.slabs[-1], slabs[-1].detach(), linear, update
        )
    elif adversarial:
        fakes = [slab.detach() for slab in slabs], None if low is None else low.detach()
        terms |= model.update_discriminators(real, fakes, label, update)

    terms["reconstruction"] = real.error(
        [slab[:count] for slab in slabs], None if low is None else low[:count]
    )
    loss = settings.weight_reconstruction * terms["reconstruction"]
    if settings.weight_structure:
        brain = (real.slabs[-1] > SIGNAL).float()
        terms["structure"] = structure_loss(slabs[-1][:count], real.slabs[-1], brain)
        loss = loss + settings.weight_structure * terms["structure"]
    if settings.weight_coarse:
        assert linear is not None
        wanted = torch.cat([real.slabs[-1], linear[count:]])
        terms["coarse"] = functional.mse_loss(_coarse(slabs[-1]), _coarse(wanted))
        loss = loss + settings.weight_coarse * terms["coarse"]
    if settings.weight_prior:
        terms["prior"] = prior_discrepancy(encoded)
        loss = loss + settings.weight_prior * terms["prior"]
    if model.measurement_head is not None:
        loss = loss + model.measurement_loss(batch, encoded, terms)
    if adversarial:
        with frozen(model.all_discriminators()):
            if isinstance(patches, PatchDiscriminator):
                assert linear is not None
                terms["generator"], terms["features"] = patch_losses(
                    patches, real.slabs[-1], slabs[-1], linear
                )
                loss = loss + settings.weight_features * terms["features"]
            else:
                logits = model.logits_of(slabs, low, real.positions)
                terms["generator"] = model.adversarial_loss(logits, real=True)
            loss = loss + settings.weight_adversarial * terms["generator"]
            if label is not None:
                terms["class_fake"] = model.class_loss(logits, label)
                loss = loss + settings.weight_class * terms["class_fake"]
            update("autoencoder", loss)
    else:
        update("autoencoder", loss)
    return {name: term.detach() for name, term in terms.items()}


def _coarse(slabs: Tensor) -> Tensor:
    return functional.avg_pool3d(slabs, LOW_RES_FACTOR)


def whole_of(batch: SynthesisBatch) -> Tensor:
    """The whole volumes of a batch, which the encoder needs."""
    if batch.source_whole is None:
        raise InputError(
            "the batch lacks source_whole, which the encoder is trained on: give it, or "
            "UnconditionalConfig(encoder=False)"
        )
    return batch.source_whole
