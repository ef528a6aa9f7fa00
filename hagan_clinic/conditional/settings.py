"""What ``--mode conditional`` trains: recipe, model and validation of a translation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.conditional import (
    SIDE_MULTIPLE,
    ConditionalHAGAN,
    GeneratorConfig,
    LossWeights,
)
from hagan_clinic.conditional.generator import InAir, near_head
from hagan_clinic.conditional.validation import validate_translation
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_choice, check_range, check_window
from hagan_clinic.training.variant import Validation


@dataclass(frozen=True)
class ConditionalConfig(TrainingConfig):
    """Settings of ``--mode conditional``.

    Attributes:
        source: sequences the generator sees.
        target: sequence it makes.
        window: scanner values of the source that become -1 and 1, such as (0, 80) HU for a head CT;
            empty for the percentiles of brain MR.
        halo: real slices on each side of a slab, outside the loss, a multiple of 4.
        optimizer: the generator's: ``muon`` for its hidden convolutions, or ``adamw`` for all.
            Its rate warms up to ``generator_lr``, then falls along a cosine to 1/100.
        adversarial_start: fraction of the steps after which the discriminators join.
        half_width, quarter_width, high_blocks: see ``conditional.GeneratorConfig``.
        weight_high, weight_low, weight_structure, weight_likelihood, weight_adversarial,
            weight_background: see ``conditional.LossWeights``.
    """

    source: tuple[str, ...] = ("t1",)
    target: str = "flair"
    window: tuple[float, ...] = ()
    halo: int = 8
    optimizer: str = "muon"
    adversarial_start: float = 0.9
    half_width: int = 24
    quarter_width: int = 64
    high_blocks: int = 1
    weight_high: float = 4.0
    weight_low: float = 4.0
    weight_structure: float = 0.3
    weight_likelihood: float = 0.2
    weight_adversarial: float = 0.003
    weight_background: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "optimizer", ("muon", "adamw"))
        check_window(self.window)
        check_range(self, ("half_width", "quarter_width", "high_blocks"))
        weights = ("high", "low", "structure", "likelihood", "adversarial")
        check_range(self, [f"weight_{name}" for name in weights], zero=True)
        check_range(self, ("adversarial_start", "weight_background"), zero=True, highest=1)
        if self.halo % 4 or self.halo < 0:
            raise InputError(f"--halo is {self.halo}: expected 0 or a multiple of 4")
        if self.slab < 8:
            raise InputError(f"--slab is {self.slab}: expected 8 or more, for the structure loss")
        if not self.source:
            raise InputError("--source is empty: name at least one sequence, e.g. --source t1")


@dataclass(frozen=True)
class ConditionalRun:
    """The model and the recipe that a configuration of ``--mode conditional`` describes."""

    config: ConditionalConfig
    generator: GeneratorConfig
    recipe: Recipe

    settings: ClassVar[type[ConditionalConfig]] = ConditionalConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "cpu": {"steps": 3000, "batch_size": 1, "validate_every": 250, "checkpoint_every": 100},
        "gpu": {"steps": 40000, "batch_size": 4, "precision": "bf16-mixed", "workers": 8},
        "tiny": {
            "steps": 8,
            "batch_size": 1,
            "spacing": 6.0,
            "slab": 16,
            "halo": 4,
            "validate_every": 4,
            "checkpoint_every": 4,
            "half_width": 8,
            "quarter_width": 16,
        },
    }
    augment: ClassVar[AugmentConfig] = AugmentConfig()
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fewest_calibration: ClassVar[int] = 1
    init_from_files: ClassVar[bool] = True
    next_command: ClassVar[str] = "hagan-clinic export {run} -o model.onnx"

    @classmethod
    def of(cls, config: ConditionalConfig) -> "ConditionalRun":
        """Read the run's generator and recipe off its configuration."""
        generator = GeneratorConfig(
            source_channels=len(config.source),
            half_width=config.half_width,
            quarter_width=config.quarter_width,
            high_blocks=config.high_blocks,
            low_res_branch=config.low_res_branch,
        )
        recipe = Recipe(
            sources=config.source,
            target=config.target,
            spacing=(config.spacing,) * 3,
            multiple=SIDE_MULTIPLE,
            halo=generator.halo,
            interval_factor=0.0,
            window=config.window,
        )
        return cls(config, generator, recipe)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": self.config.halo}

    def labels(self, subjects: Sequence[Subject]) -> None:
        """A translation knows no classes."""

    def model(self) -> ConditionalHAGAN:
        """A model with weights from the seed."""
        config = self.config
        torch.manual_seed(config.seed)
        return ConditionalHAGAN(
            self.generator,
            LossWeights(
                high=config.weight_high,
                low=config.weight_low,
                structure=config.weight_structure,
                likelihood=config.weight_likelihood,
                adversarial=config.weight_adversarial,
                background=config.weight_background,
            ),
            adversarial_start=round(config.adversarial_start * config.steps),
            generator_lr=config.generator_lr,
            discriminator_lr=config.discriminator_lr,
            muon=config.optimizer == "muon",
        )

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Figures of the averaged generator on the calibration patients."""
        return validate_translation(averaged, subjects, device)

    def parts(self, model: ConditionalHAGAN) -> list[Part]:
        """The parts of its model."""
        assert self.config.size is not None
        return list(_parts(model, self.config, self.config.size))


def _parts(
    model: ConditionalHAGAN, config: ConditionalConfig, size: tuple[int, int, int]
) -> Iterator[Part]:
    generator = model.generator
    channels = generator.config.source_channels
    d, h, w = size
    low = (d // LOW_RES_FACTOR, h // LOW_RES_FACTOR, w // LOW_RES_FACTOR)
    slab = min(config.slab, d)
    window = min(slab + 2 * config.halo, d)
    half, quarter = (
        (width, window // by, h // by, w // by)
        for width, by in ((generator.config.half_width, 2), (generator.config.quarter_width, 4))
    )
    given = [(channels, window, h, w), half, quarter]
    if generator.config.low_res_branch:
        context = (generator.config.trunk_widths[0], *low)
        yield Part("G^A", generator.trunk, ((channels, *low),), generator.trunk)
        yield Part("G^L", generator.low, (context,), generator.low)
        given.append((2 * context[0], *quarter[1:]))

    def encode(source: Tensor) -> tuple[InAir, InAir]:
        result: tuple[InAir, InAir] = generator.encoder(source, near_head(source))
        return result

    def high(
        source: Tensor, half: Tensor, quarter: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        half_air, air = (part[:1, :, :1, :1, :1] for part in (half, quarter))
        near = near_head(source)
        result: tuple[Tensor, Tensor] = generator.high(
            source, near, (half, half_air), (quarter, air), context
        )
        return result

    yield Part("E^H", generator.encoder, (given[0],), encode)

    yield Part("G^H", generator.high, tuple(given), high)
    pair = channels + 1
    yield Part("D^H", model.slab_discriminator, ((pair, slab, h, w), ()), model.slab_discriminator)
    if model.low_discriminator is not None:
        yield Part("D^L", model.low_discriminator, ((pair, *low),), model.low_discriminator)
