"""What the conditional baselines share: a generator and a discriminator of pairs, one step.

The discriminator learns to tell (source, target) from (source, translation); the generator learns
to deceive it and, with ``weight_l1`` times the weight, to be near the target.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional.settings import TranslationConfig
from hagan_clinic.conditional.validation import TranslationModel
from hagan_clinic.errors import InputError
from hagan_clinic.training.config import check_range

MOST_LEVELS = 10


@dataclass(frozen=True)
class PairedConfig(TranslationConfig):
    """Settings of every conditional baseline; the defaults are those of pix2pix.

    Attributes:
        width: channels of the generator's first layer.
        weight_l1: of the L1 error, beside the adversarial term's 1.
    """

    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    clip: float = 0.0
    ema: float = 0.0
    width: int = 64
    weight_l1: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("width",))
        check_range(self, ("weight_l1",), zero=True)
        if not self.low_res_branch:
            raise InputError(
                f"--no-low-res-branch: --model {self.model} has none; leave the option out"
            )


def check_levels(levels: int) -> None:
    """Refuse a U-Net without levels, or with more than any image has."""
    if not 1 <= levels <= MOST_LEVELS:
        raise InputError(f"levels is {levels}: expected 1 to {MOST_LEVELS}")


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


class PairedGAN(TranslationModel):
    """A translating network and its discriminator.

    Args:
        settings: losses and rates among them.
        translator: what is validated and exported.
        discriminator: of source and target, stacked as channels.
    """

    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    """Of every Adam."""
    least_squares: ClassVar[bool] = False
    """LSGAN (Mao et al., ICCV 2017) instead of the cross-entropy."""

    def __init__(
        self, settings: PairedConfig, translator: TranslatingNetwork, discriminator: nn.Module
    ) -> None:
        super().__init__()
        self.settings: PairedConfig = settings
        self.translator = translator
        self.discriminator = discriminator

    @abstractmethod
    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """Translate the pieces of a batch of ``data.queue``."""

    @property
    def averaged(self) -> nn.Module:
        """The translator."""
        return self.translator

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""
        rated = {
            "generator": (self.translator, self.settings.generator_lr),
            "discriminator": (self.discriminator, self.settings.discriminator_lr),
        }
        return {
            name: ParameterGroup(list(part.parameters()), rate, self.betas)
            for name, (part, rate) in rated.items()
        }

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Update the discriminator, by half of its loss as pix2pix does, then the generator."""
        pieces = self.pieces(batch)
        real = self._real(self._logits(pieces, pieces.target))
        fake = self._fake(self._logits(pieces, pieces.made.detach()))
        terms = {"discriminator": (real + fake) / 2}
        update("discriminator", terms["discriminator"])
        terms["adversarial"] = self._real(self._logits(pieces, pieces.made))
        terms["l1"] = functional.l1_loss(pieces.made, pieces.target)
        update("generator", terms["adversarial"] + self.settings.weight_l1 * terms["l1"])
        return {name: term.detach() for name, term in terms.items()}

    def _logits(self, pieces: Pieces, image: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(torch.cat([pieces.source, image], dim=1), *pieces.place)
        return logits

    def _real(self, logits: Tensor) -> Tensor:
        """The loss of calling these logits real."""
        return (logits - 1).square().mean() if self.least_squares else real_loss(logits)

    def _fake(self, logits: Tensor) -> Tensor:
        """The loss of calling these logits fake."""
        return logits.square().mean() if self.least_squares else fake_loss(logits)


def same_everywhere(target: Tensor) -> Tensor:
    """The error's scale of a model that has no error bar: 1 in every voxel.

    The factor fitted on the calibration patients is then the half-width of the 90 % interval, the
    same in every voxel.
    """
    # Computed, not a constant: a file of fixed sizes would hold a whole volume of ones.
    return 0 * target.detach() + 1
