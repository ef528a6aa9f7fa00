"""What ``--mode conditional`` trains: recipe, model and validation of a translation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hagan_clinic.conditional import (
    SIDE_MULTIPLE,
    ConditionalHAGAN,
    GeneratorConfig,
    LossWeights,
)
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.prepared import PreparedSubject
from hagan_clinic.training.validation import validate_translation
from hagan_clinic.training.variant import Validation


@dataclass(frozen=True)
class ConditionalRun:
    """The model and the recipe that a configuration of ``--mode conditional`` describes."""

    generator: GeneratorConfig
    recipe: Recipe

    @classmethod
    def of(cls, config: TrainingConfig) -> "ConditionalRun":
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
        )
        return cls(generator, recipe)

    def model(self, config: TrainingConfig) -> ConditionalHAGAN:
        """A model with weights from the seed."""
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
        self, averaged: nn.Module, subjects: Sequence[PreparedSubject], device: torch.device
    ) -> Validation:
        """Figures of the averaged generator on the calibration patients."""
        return validate_translation(averaged, subjects, device)
