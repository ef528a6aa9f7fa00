"""What the conditional baselines share: settings, recipe, validation."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn

from hagan_clinic.baselines.paired import PairedGAN, PairedObjective
from hagan_clinic.conditional import SIDE_MULTIPLE
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_range, check_window
from hagan_clinic.training.validation import validate_translation
from hagan_clinic.training.variant import Validation

MOST_LEVELS = 10


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
