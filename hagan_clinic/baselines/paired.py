"""One training step for every conditional baseline: a generator and a discriminator of pairs.

The discriminator learns to tell (source, target) from (source, translation); the generator learns
to deceive it and, with ``weight_l1`` times the weight, to be near the target.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.translating import TranslatingNetwork


@dataclass(frozen=True)
class PairedObjective:
    """Losses and rates.

    Attributes:
        weight_l1: of the L1 error, beside the adversarial term's 1.
        generator_lr: of the generator's Adam.
        discriminator_lr: of the discriminator's Adam.
        betas: of both.
        least_squares: LSGAN (Mao et al., ICCV 2017) instead of the cross-entropy.
    """

    weight_l1: float
    generator_lr: float
    discriminator_lr: float
    betas: tuple[float, float]
    least_squares: bool = False

    def real(self, logits: Tensor) -> Tensor:
        """The loss of calling these logits real."""
        return (logits - 1).square().mean() if self.least_squares else real_loss(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """The loss of calling these logits fake."""
        return logits.square().mean() if self.least_squares else fake_loss(logits)


@dataclass(frozen=True)
class Pieces:
    """What a step learns from: slabs, slices or patches of the batch.

    Attributes:
        source: (N, C, ...).
        target: (N, 1, ...).
        made: (N, 1, ...) the generator's translation.
        place: further inputs of the discriminator, such as a slab's position; empty for none.
    """

    source: Tensor
    target: Tensor
    made: Tensor
    place: tuple[Tensor, ...] = ()


class PairedGAN(nn.Module, ABC):
    """A translating network and its discriminator.

    Args:
        translator: what is validated and exported.
        discriminator: of source and target, stacked as channels.
        objective: losses and rates.
    """

    def __init__(
        self,
        translator: TranslatingNetwork,
        discriminator: nn.Module,
        objective: PairedObjective,
    ) -> None:
        super().__init__()
        self.translator = translator
        self.discriminator = discriminator
        self.objective = objective

    @abstractmethod
    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """Translate the pieces of a batch of ``data.queue``."""

    @abstractmethod
    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """The parts, for volumes of this (D, H, W)."""

    @property
    def module(self) -> nn.Module:
        """All that trains."""
        return self

    @property
    def averaged(self) -> nn.Module:
        """The translator."""
        return self.translator

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""
        objective = self.objective
        return {
            "generator": ParameterGroup(
                list(self.translator.parameters()), objective.generator_lr, objective.betas
            ),
            "discriminator": ParameterGroup(
                list(self.discriminator.parameters()), objective.discriminator_lr, objective.betas
            ),
        }

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Update the discriminator, by half of its loss as pix2pix does, then the generator."""
        pieces, objective = self.pieces(batch), self.objective
        real = objective.real(self._logits(pieces, pieces.target))
        fake = objective.fake(self._logits(pieces, pieces.made.detach()))
        terms = {"discriminator": (real + fake) / 2}
        update("discriminator", terms["discriminator"])
        terms["adversarial"] = objective.real(self._logits(pieces, pieces.made))
        terms["l1"] = functional.l1_loss(pieces.made, pieces.target)
        update("generator", terms["adversarial"] + objective.weight_l1 * terms["l1"])
        return {name: term.detach() for name, term in terms.items()}

    def _logits(self, pieces: Pieces, image: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(torch.cat([pieces.source, image], dim=1), *pieces.place)
        return logits


def same_everywhere(target: Tensor) -> Tensor:
    """The error's scale of a model that has no error bar: 1 in every voxel.

    The factor fitted on the calibration patients is then the half-width of the 90 % interval, the
    same in every voxel.
    """
    # Computed, not a constant: a file of fixed sizes would hold a whole volume of ones.
    return 0 * target.detach() + 1
