"""Labels marked in a synthetic volume, and the figures that they give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A number that a label gives.

    Attributes:
        name: Such as ``label 2`` or ``lung``.
        unit: Such as ``ml`` or ``%``.
        value: NaN where there is none.
        label: In whose colour it is written.
    """

    name: str
    unit: str
    value: float
    label: int

    @property
    def column(self) -> str:
        """Of a table, such as ``label_2_ml``."""
        return f"{self.name} {self.unit}".replace("%", "percent").replace(" ", "_")

    def __str__(self) -> str:
        text = "unknown" if math.isnan(self.value) else f"{self.value:.4g} {self.unit}"
        return f"{self.name}: {text}"


@dataclass(frozen=True, eq=False)
class Marked:
    """What was marked in a volume.

    Attributes:
        labels: (D, H, W), 0 where nothing is.
        figures: Of these labels.
    """

    labels: Labels
    figures: tuple[Figure, ...]


Marking = Callable[[Float32], Marked]
"""Marks a volume (D, H, W) in [0, 1]."""


@dataclass(frozen=True)
class LabelVolumes:
    """Volume in ml of every label that a segmenter gives; 0 is background.

    Attributes:
        segment: From a volume (D, H, W) in [0, 1] its label map of the same shape.
        spacing: Voxel size in mm along D, H, W.
    """

    segment: Callable[[Float32], Labels]
    spacing: Sequence[float]

    def __call__(self, volume: Float32) -> Marked:
        """The label map of a volume, and a figure for each label that it has."""
        labels = self.segment(volume)
        values, counts = np.unique(labels[labels != 0], return_counts=True)
        voxel = math.prod(self.spacing) / 1000
        return Marked(
            labels,
            tuple(
                Figure(f"label {label}", "ml", count * voxel, label)
                for label, count in zip(values.tolist(), counts.tolist(), strict=True)
            ),
        )
