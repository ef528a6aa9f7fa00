"""What a measure of CT volumes needs: the values in HU that a model makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration.marking import Float32, Marked


@dataclass(frozen=True)
class HounsfieldMeasure(ABC):
    """A measure of volumes in [0, 1] by thresholds in HU.

    Attributes:
        window: The values in HU of 0 and 1.
        spacing: Voxel size in mm along D, H, W.

    Raises:
        InputError: The window is empty, or does not hold the thresholds: no model of such CT.
    """

    window: Sequence[float]
    spacing: Sequence[float]

    thresholds: ClassVar[tuple[float, float]]
    """The lowest and the highest in HU."""
    subject: ClassVar[str]
    """What is measured in which scans, for a message."""

    def __post_init__(self) -> None:
        (low, high), (lowest, highest) = self.window or (0, 0), self.thresholds
        if not low < lowest < highest < high:
            found = f"0 and 1 are {low:g} and {high:g}" if self.window else "it has no window"
            raise InputError(
                f"{self.subject}, in HU from below {lowest:g} to above {highest:g}, and this model "
                f"does not make that ({found}): give a model that was trained with "
                "--window=-1024,600"
            )

    def __call__(self, volume: Float32) -> Marked:
        """Labels and figures of a volume (D, H, W) in [0, 1]."""
        low, high = self.window
        return self.mark(low + (high - low) * volume)

    @abstractmethod
    def mark(self, values: NDArray[np.floating]) -> Marked:
        """Labels and figures of values (D, H, W) in HU."""
