"""One training step for every conditional baseline: a generator and a judge of pairs.

The judge learns to tell (source, target) from (source, translation); the generator learns to
deceive it and, with ``weight_l1`` times the weight, to be near the target.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.losses import judged_fake, judged_real
from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.translating import TranslatingNetwork


@dataclass(frozen=True)
class PairedObjective:
    """Losses and rates.

    Attributes:
        weight_l1: of the L1 error, beside the adversarial term's 1.
        generator_lr: of the generator's Adam.
        discriminator_lr: of the judge's Adam.
        betas: of both.
        least_squares: LSGAN (Mao et al., ICCV 2017) instead of the cross-entropy.
    """

    weight_l1: float
    generator_lr: float
    discriminator_lr: float
    betas: tuple[float, float]
    least_squares: bool = False

    def real(self, logits: Tensor) -> Tensor:
        """How far the judge is from calling these real."""
        return (logits - 1).square().mean() if self.least_squares else judged_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """How far the judge is from calling these fake."""
        return logits.square().mean() if self.least_squares else judged_fake(logits)


@dataclass(frozen=True)
class Pieces:
    """What a step learns from: slabs, slices or patches of the batch.

    Attributes:
        source: (N, C, ...).
        target: (N, 1, ...).
        made: (N, 1, ...) the generator's translation.
        place: what the judge is told beside the images; empty for nothing.
    """

    source: Tensor
    target: Tensor
    made: Tensor
    place: tuple[Tensor, ...] = ()


class PairedGAN(nn.Module, ABC):
    """A translating network and its judge.

    Args:
        translator: what is validated and exported.
        judge: of source and target, stacked as channels.
        objective: losses and rates.
    """

    def __init__(
        self, translator: TranslatingNetwork, judge: nn.Module, objective: PairedObjective
    ) -> None:
        super().__init__()
        self.translator = translator
        self.judge = judge
        self.objective = objective

    @abstractmethod
    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """Translate the pieces of a batch of ``training.queue``."""

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
        """Parameters by the optimiser that moves them."""
        objective = self.objective
        return {
            "generator": ParameterGroup(
                list(self.translator.parameters()), objective.generator_lr, objective.betas
            ),
            "discriminator": ParameterGroup(
                list(self.judge.parameters()), objective.discriminator_lr, objective.betas
            ),
        }

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Move the judge, by half of its loss as pix2pix does, then the generator."""
        pieces, objective = self.pieces(batch), self.objective
        judged = objective.real(self._judge(pieces, pieces.target))
        faked = objective.fake(self._judge(pieces, pieces.made.detach()))
        terms = {"discriminator": (judged + faked) / 2}
        update("discriminator", terms["discriminator"])
        terms["adversarial"] = objective.real(self._judge(pieces, pieces.made))
        terms["l1"] = functional.l1_loss(pieces.made, pieces.target)
        update("generator", terms["adversarial"] + objective.weight_l1 * terms["l1"])
        return {name: term.detach() for name, term in terms.items()}

    def _judge(self, pieces: Pieces, image: Tensor) -> Tensor:
        logits: Tensor = self.judge(torch.cat([pieces.source, image], dim=1), *pieces.place)
        return logits


def same_everywhere(target: Tensor) -> Tensor:
    """The error's scale of a model that has no error bar: 1 in every voxel.

    The factor fitted on the calibration patients is then the half-width of the 90 % interval, the
    same in every voxel.
    """
    # Computed, not a constant: a file of fixed sizes would hold a whole volume of ones.
    return 0 * target.detach() + 1
