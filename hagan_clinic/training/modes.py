"""What can be trained, by the name that ``--mode`` gives it."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from hagan_clinic.recipe import Recipe
from hagan_clinic.training.conditional import ConditionalRun
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.prepared import PreparedSubject
from hagan_clinic.training.variant import Validation, Variant


class Mode(Protocol):
    """What a configuration describes: how to prepare volumes, what to train, how to judge it."""

    @property
    def recipe(self) -> Recipe:
        """How volumes become training data; an empty target means that there is none."""

    def model(self, config: TrainingConfig) -> Variant:
        """A model with weights from the seed."""

    def validate(
        self, averaged: nn.Module, subjects: Sequence[PreparedSubject], device: torch.device
    ) -> Validation:
        """Judge the averaged part on the calibration patients."""


def mode_of(config: TrainingConfig) -> Mode:
    """The mode that a configuration names, as it describes it."""
    return MODES[config.mode].of(config)


MODES = {"conditional": ConditionalRun}
"""Every mode of ``TrainingConfig.mode``; each is read off a configuration by ``of``."""
