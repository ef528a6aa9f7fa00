"""What the training loop asks of a model: the interface between the loop and the models."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.parts import Part
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.training.config import TrainingConfig


@runtime_checkable
class StartsFromVolumes(Protocol):
    """A model that some of its first weights are fitted to the training volumes of."""

    def start(self, volumes: Iterator[Tensor]) -> None:
        """Fit them to augmented volumes (B, 1, D, H, W)."""


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


class TrainableModel(nn.Module, ABC):
    """All that trains, made of its settings alone; its weights are what a checkpoint holds."""

    settings_class: ClassVar[type[TrainingConfig]]
    """What ``__init__`` takes; its ``model`` is the name that ``--model`` gives."""

    settings: Any

    @property
    @abstractmethod
    def averaged(self) -> nn.Module:
        """The part whose exponential moving average is validated and exported."""

    @abstractmethod
    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""

    @abstractmethod
    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """One step; calls ``update`` for each group it trains; returns the loss terms."""

    @abstractmethod
    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Validate the averaged part on the calibration patients, of these classes if any."""

    @abstractmethod
    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """The parts, for volumes of this (D, H, W), in the order of the paper's figure."""
