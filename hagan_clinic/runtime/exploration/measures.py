"""What can be measured in a synthetic volume without anybody drawing on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.volume import Grid, to_canonical

THRESHOLD = 0.3
"""On [0, 1]: in T1 fluid is darker and tissue brighter."""


class Measure(Protocol):
    """A function of a synthetic volume, with a name and a unit for the eye."""

    @property
    def name(self) -> str:
        """Such as ``volume above 0.3``."""
        ...

    @property
    def unit(self) -> str:
        """Such as ``ml``, empty if there is none."""
        ...

    def __call__(self, volume: NDArray[np.float32]) -> float:
        """The value of a volume (D, H, W) in [0, 1]."""
        ...


@dataclass(frozen=True)
class ThresholdVolume:
    """Volume in ml of the voxels that are brighter than a threshold.

    Attributes:
        threshold: On [0, 1].
        spacing: Voxel size in mm along D, H, W.
    """

    threshold: float
    spacing: Sequence[float]

    unit = "ml"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"the threshold is {self.threshold:g}: expected 0 or more, below 1")

    @property
    def name(self) -> str:
        """With its threshold."""
        return f"volume above {self.threshold:g}"

    def __call__(self, volume: NDArray[np.float32]) -> float:
        """In ml."""
        return float(np.count_nonzero(volume > self.threshold)) * math.prod(self.spacing) / 1000


@dataclass(frozen=True, eq=False)
class MaskMean:
    """Mean brightness, on [0, 1], of the voxels of a mask or of one label of a label map.

    Attributes:
        mask: (D, H, W), canonical axes; at least one voxel is set.
        name: The file's, and the label.
    """

    mask: NDArray[np.bool_]
    name: str

    unit = ""

    @classmethod
    def read(cls, path: Path, grid: Grid, label: int | None = None) -> MaskMean:
        """Read a mask that lies on a model's grid, such as one drawn on a sample.

        Args:
            path: A volume file.
            grid: The model's.
            label: The value that counts; every voxel above 0.5 if None.

        Raises:
            InputError: The file cannot be read, lies on another grid, or nothing is marked.
        """
        volume = to_canonical(read(path))
        if not volume.grid.same_as(grid):
            raise InputError(
                f"{path} ({volume.grid}) does not lie on the model's grid ({grid}): expected a "
                "mask drawn on a sample of this model"
            )
        found = volume.array > 0.5 if label is None else np.rint(volume.array) == label
        shown = path.name if label is None else f"{path.name}, label {label}"
        if not found.any():
            raise InputError(f"{shown} marks no voxel; expected at least one")
        return cls(found, f"mean in {shown}")

    def __call__(self, volume: NDArray[np.float32]) -> float:
        """Without a unit."""
        return float(volume[self.mask].mean())
