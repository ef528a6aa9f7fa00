"""What the training loop asks of a model: the interface between the loop and the models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hagan_clinic.backbone.optimisation import ParameterGroup, Update


class TrainableModel(Protocol):
    """A trainable model."""

    @property
    def module(self) -> nn.Module:
        """All that trains; its weights are what a checkpoint holds."""

    @property
    def averaged(self) -> nn.Module:
        """The part whose exponential moving average is validated and exported."""

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """One step; calls ``update`` for each group it trains; returns the loss terms."""


@dataclass(frozen=True, eq=False)
class Validation:
    """What one pass over the calibration patients found.

    Attributes:
        score: the metric by which the best checkpoint is chosen (higher is better).
        metrics: all of them, for the log and the checkpoint's state.
        montage: a picture of it, (rows, columns) uint8.
    """

    score: float
    metrics: dict[str, float]
    montage: NDArray[np.uint8]


Validate = Callable[[nn.Module], Validation]
"""validate(averaged part) -> Validation."""
