"""What the conditional baselines share: a generator and a discriminator of pairs, one step.

The discriminator learns to tell (source, target) from (source, translation); the generator learns
to deceive it and, with ``weight_l1`` times the weight, to be near the target. By default a model is
trained as its paper says. The variant ``tuned`` trains it as HA-GAN is trained, so that what is
left to compare is the networks.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hagan_clinic.backbone.losses import (
    absolute_loss,
    fake_loss,
    real_loss,
    reconstruction_loss,
    region_weights,
    structure_loss,
)
from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional.settings import AdversarialConfig, ConditionalConfig
from hagan_clinic.conditional.validation import TranslationModel
from hagan_clinic.errors import InputError
from hagan_clinic.training.config import check_choice, check_range

MOST_LEVELS = 10

ERRORS = {"l1": absolute_loss, "huber": reconstruction_loss}
"""By the word of ``reconstruction``; Huber's is the one of HA-GAN."""

OF_HAGAN = (
    *("optimizer", "generator_lr", "discriminator_lr", "clip", "ema", "adversarial_start"),
    *("weight_structure", "weight_adversarial", "weight_background"),
)
"""What the variant ``tuned`` takes over from HA-GAN's defaults."""


@dataclass(frozen=True)
class PairedConfig(AdversarialConfig):
    """Settings of every conditional baseline; the defaults are those of pix2pix.

    Attributes:
        width: channels of the generator's first layer.
        variant: ``paper``, or ``tuned``, the way HA-GAN is trained.
        optimizer: the generator's: ``adam``, the papers', at a constant rate; or HA-GAN's ``muon``
            or ``adamw``, at a rate that warms up, then falls along a cosine.
        reconstruction: ``l1``, the papers', or ``huber``, HA-GAN's, which squares errors.
        weight_l1: of the reconstruction, whichever it is.
    """

    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    clip: float = 0.0
    ema: float = 0.0
    width: int = 64
    variant: str = "paper"
    optimizer: str = "adam"
    adversarial_start: float = 0.0
    reconstruction: str = "l1"
    weight_l1: float = 100.0
    weight_structure: float = 0.0
    weight_adversarial: float = 1.0
    weight_background: float = 1.0

    optimizers: ClassVar[tuple[str, ...]] = ("adam", *AdversarialConfig.optimizers)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "tuned": {
            **{name: getattr(ConditionalConfig, name) for name in OF_HAGAN},
            "reconstruction": "huber",
            "weight_l1": ConditionalConfig.weight_high,
        },
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "variant", tuple(self.variants))
        check_choice(self, "reconstruction", tuple(ERRORS))
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
        brain: (N, 1, ...) in [0, 1], where the loss counts in full.
        place: further inputs of the discriminator, such as a slab's position; empty for none.
        depth: neighbouring slices of a volume, where the pieces are slices; 0 where they are not.
    """

    source: Tensor
    target: Tensor
    made: Tensor
    brain: Tensor
    place: tuple[Tensor, ...] = ()
    depth: int = 0

    def volumes(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is made, target and brain; slices put together, (B, 1, depth, H, W).

        An error is averaged over a sample's brain, of which a slice may have none.
        """
        images = (self.made, self.target, self.brain)
        if not self.depth:
            return images
        made, target, brain = (
            image.unflatten(0, (-1, self.depth)).movedim(1, 2) for image in images
        )
        return made, target, brain


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
        settings, of_paper = self.settings, self.settings.optimizer == "adam"
        generator, discriminator = (
            ParameterGroup(list(part.parameters()), rate, self.betas)
            for part, rate in (
                (self.translator, settings.generator_lr),
                (self.discriminator, settings.discriminator_lr),
            )
        )
        return {
            "generator": generator if of_paper else settings.generator_group(self.translator),
            "discriminator": discriminator,
        }

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Update the discriminator, by half of its loss as pix2pix does, then the generator."""
        settings, pieces = self.settings, self.pieces(batch)
        made, target, brain = pieces.volumes()
        error = ERRORS[settings.reconstruction](
            made, target, region_weights(brain, settings.weight_background)
        )
        terms = {settings.reconstruction: error}
        loss = settings.weight_l1 * error
        if settings.weight_structure:
            terms["structure"] = structure_loss(made, target, brain)
            loss = loss + settings.weight_structure * terms["structure"]
        if settings.joined(step):
            real = self._real(self._logits(pieces, pieces.target))
            fake = self._fake(self._logits(pieces, pieces.made.detach()))
            terms["discriminator"] = (real + fake) / 2
            update("discriminator", terms["discriminator"])
            terms["adversarial"] = self._real(self._logits(pieces, pieces.made))
            loss = loss + settings.weight_adversarial * terms["adversarial"]
        update("generator", loss)
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
