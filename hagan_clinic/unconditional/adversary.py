"""The discriminators of unconditional HA-GAN, D^H and D^L, and what is learnt by them.

L_GAN^H (eq. 4) and L_GAN^L (eq. 5) of Sun et al. 2022 are binary cross-entropies on the slab and on
the low-resolution volume; with more levels there is a slab, and its discriminator, at each.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.diffaugment import DiffAugment
from hagan_clinic.backbone.discriminator import LowResolutionDiscriminator, SlabDiscriminator
from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.backbone.optimisation import Update
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.unconditional.patch_discriminator import PatchDiscriminator
from hagan_clinic.unconditional.settings import UnconditionalConfig
from hagan_clinic.unconditional.sizes import HAGANConfig
from hagan_clinic.unconditional.targets import Targets
from hagan_clinic.unconditional.validation import SynthesisModel


class AdversarialModel(SynthesisModel):
    """A model of slabs and low-resolution volumes that trains against discriminators of both."""

    settings: UnconditionalConfig
    middle_discriminators: nn.ModuleList
    slab_discriminator: SlabDiscriminator | PatchDiscriminator
    low_discriminator: LowResolutionDiscriminator | None

    def make_discriminators(self, settings: UnconditionalConfig, config: HAGANConfig) -> None:
        """Build them; random weights depend on when ``__init__`` calls this."""
        self.augment = (
            DiffAugment(shift=settings.diffaugment_shift) if settings.diffaugment else None
        )
        shared: dict[str, Any] = {
            "width": config.discriminator_width,
            "classes": config.classes,
            "compares": settings.batch_deviation,
        }
        *coarser, finest = config.slab_strides
        self.middle_discriminators = nn.ModuleList(
            SlabDiscriminator(1, strides, **shared) for strides in coarser
        )
        self.slab_discriminator = (
            PatchDiscriminator(config.discriminator_width)
            if settings.discriminator == "patches"
            else SlabDiscriminator(1, finest, **shared)
        )
        self.low_discriminator = (
            LowResolutionDiscriminator(1, config.upsamples, **shared)
            if settings.low_res_branch
            else None
        )

    def all_discriminators(self) -> nn.Module:
        """D^H of every level and D^L."""
        parts = [
            self.slab_discriminator,
            *self.middle_discriminators,
            *([] if self.low_discriminator is None else [self.low_discriminator]),
        ]
        return nn.ModuleList(parts)

    def update_discriminators(
        self,
        real: Targets,
        fakes: tuple[list[Tensor], Tensor | None],
        label: Tensor | None,
        update: Update,
    ) -> dict[str, Tensor]:
        """D^H and D^L separate real from synthetic; labels are those of the synthetic ones."""
        terms: dict[str, Tensor] = {}
        slabs, low, count = real.slabs, real.low, len(real.low)
        if self.settings.r1:
            slabs = [slab.detach().requires_grad_() for slab in slabs]
            low = low.detach().requires_grad_()
        real_logits = self.logits_of(slabs, low, real.positions)
        fake_logits = self.logits_of(*fakes, real.positions)
        loss = self.adversarial_loss(real_logits, real=True)
        loss = loss + self.adversarial_loss(fake_logits, real=False)
        terms["discriminator"] = loss
        if label is not None:
            terms["class_real"] = self.class_loss(real_logits, label[:count])
            loss = loss + terms["class_real"]
        if self.settings.r1:
            images = slabs if self.low_discriminator is None else [*slabs, low]
            terms["r1"] = _squared_gradient([logit for logit, _ in real_logits], images)
            loss = loss + self.settings.r1 / 2 * terms["r1"]
        update("discriminator", loss)
        return {name: term.detach() for name, term in terms.items()}

    def logits_of(
        self, slabs: Sequence[Tensor], low: Tensor | None, positions: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """Logits and class logits of D^H and, with the low-resolution branch, of D^L."""
        augment = self.augment
        drawn = None if augment is None else augment.draw(len(slabs[0]), slabs[0].device)
        outputs = []
        discriminators = [*self.middle_discriminators, self.slab_discriminator]
        for level, (one, slab) in enumerate(zip(discriminators, slabs, strict=True), start=1):
            seen = slab
            if augment is not None and drawn is not None:
                seen = augment(slab, drawn, cell=LOW_RES_FACTOR**level)
            position = positions[level - 1]
            position = position.repeat(len(slab) // len(position))  # of two volumes a sample
            outputs.append(cast(SlabDiscriminator, one).logits(seen, position))
        if self.low_discriminator is not None and low is not None:
            if augment is not None and drawn is not None:
                low = augment(low, drawn)
            outputs.append(self.low_discriminator.logits(low))
        return outputs

    def adversarial_loss(self, outputs: list[tuple[Tensor, Tensor]], *, real: bool) -> Tensor:
        """Cross-entropy against one label: of each discriminator, or of their mean."""
        logits = [logit for logit, _ in outputs]
        if self.settings.variant == "released":
            logits = [torch.stack(logits).mean(0)]
        loss = real_loss if real else fake_loss
        return torch.stack([loss(logit) for logit in logits]).sum()

    def class_loss(self, outputs: list[tuple[Tensor, Tensor]], label: Tensor) -> Tensor:
        """Cross-entropy of the auxiliary class heads."""
        logits = [labels for _, labels in outputs]
        if self.settings.variant == "released":
            logits = [torch.stack(logits).mean(0)]
        return torch.stack([functional.cross_entropy(each, label) for each in logits]).sum()


def _squared_gradient(logits: list[Tensor], images: list[Tensor]) -> Tensor:
    """The squared length of the gradient of each sample's logits, averaged over samples."""
    gradients = torch.autograd.grad(
        [logit.sum() for logit in logits], images, create_graph=True, retain_graph=True
    )
    return torch.stack([one.square().flatten(1).sum(1).mean() for one in gradients]).sum()
