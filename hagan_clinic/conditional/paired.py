"""One training step for every conditional baseline: a generator and a discriminator of pairs.

The discriminator learns to tell (source, target) from (source, translation); the generator learns
to deceive it and, with ``weight_l1`` times the weight, to be near the target.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional import SIDE_MULTIPLE
from hagan_clinic.conditional.validation import validate_translation
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_range, check_window
from hagan_clinic.training.variant import Validation

MOST_LEVELS = 10


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


@dataclass(frozen=True)
class PairedConfig(TrainingConfig):
    """Settings of every conditional baseline.

    Attributes:
        source: sequences the generator sees.
        target: sequence it makes.
        window: as of HA-GAN.
        width: channels of the generator's first layer.
        weight_l1: of the L1 error, beside the adversarial term's 1.
    """

    source: tuple[str, ...] = ("t1",)
    target: str = "flair"
    window: tuple[float, ...] = ()
    clip: float = 0.0
    ema: float = 0.0
    width: int = 64
    weight_l1: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("width",))
        check_window(self.window)
        check_range(self, ("weight_l1",), zero=True)
        if not self.source:
            raise InputError("--source is empty: name at least one sequence, e.g. --source t1")
        if not self.low_res_branch:
            raise InputError(
                f"--no-low-res-branch: --model {self.model} has none; leave the option out"
            )


@dataclass(frozen=True)
class PairedRun(ABC):
    """The model and the recipe that the configuration of a conditional baseline describes."""

    config: PairedConfig
    recipe: Recipe

    halo: ClassVar[int]
    """Slices on each side of a slab that make it equal to the whole volume."""

    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    least_squares: ClassVar[bool] = False
    augment: ClassVar[AugmentConfig] = AugmentConfig()
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fewest_calibration: ClassVar[int] = 1
    init_from_files: ClassVar[bool] = False
    next_command: ClassVar[str] = "hagan-clinic export {run} -o model.onnx"

    @classmethod
    def of(cls, config: Any) -> Self:
        """Read the run's recipe off its configuration: that of HA-GAN, so that both see the same.

        Prepared volumes are the same too, and the folder of them can be shared.
        """
        recipe = Recipe(
            sources=config.source,
            target=config.target,
            spacing=(config.spacing,) * 3,
            multiple=SIDE_MULTIPLE,
            halo=cls.halo,
            interval_factor=0.0,
            window=config.window,
        )
        return cls(config, recipe)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": 0}

    def labels(self, subjects: Sequence[Subject]) -> list[int] | None:
        """A translation knows no classes."""
        return None

    def model(self) -> PairedGAN:
        """A model with weights from the seed."""
        config = self.config
        torch.manual_seed(config.seed)
        objective = PairedObjective(
            weight_l1=config.weight_l1,
            generator_lr=config.generator_lr,
            discriminator_lr=config.discriminator_lr,
            betas=self.betas,
            least_squares=self.least_squares,
        )
        return self.built(objective)

    @abstractmethod
    def built(self, objective: PairedObjective) -> PairedGAN:
        """The model of this configuration."""

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Figures of the averaged generator on the calibration patients."""
        return validate_translation(averaged, subjects, device)

    def parts(self, model: PairedGAN) -> list[Part]:
        """The parts of its model."""
        assert self.config.size is not None
        parts: list[Part] = model.parts(self.config.size)
        return parts


def check_levels(levels: int) -> None:
    """Refuse a U-Net without levels, or with more than any image has."""
    if not 1 <= levels <= MOST_LEVELS:
        raise InputError(f"levels is {levels}: expected 1 to {MOST_LEVELS}")


def presets(tiny: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Presets for a baseline: those of HA-GAN in what does not hang on the model.

    Args:
        tiny: what makes this one small.
    """
    shared = {"steps": 8, "batch_size": 1, "spacing": 6.0, "validate_every": 4}
    return {
        "default": {},
        "cpu": {"steps": 3000, "batch_size": 1, "validate_every": 250, "checkpoint_every": 100},
        "gpu": {"steps": 40000, "batch_size": 4, "precision": "bf16-mixed", "workers": 8},
        "tiny": {**shared, "checkpoint_every": 4, "width": 8, **tiny},
    }
