"""How far a network is: ONNX Runtime reports nothing before the end of a run, earlier runs do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_GUESS = 2e-6
"""Seconds a voxel where nothing was measured: the bundled model on two CPU cores."""

_NEARLY = 0.95
"""What is taken for done at most before the end is there."""


class Pace:
    """Seconds a voxel of a network on its device, measured on its latest run."""

    def __init__(self) -> None:
        self._measured: float | None = None

    @contextmanager
    def run(self, voxels: int, progress: Callable[[float], None]) -> Iterator[Callable[[], None]]:
        """Time a run on so many voxels.

        Args:
            voxels: Of its input.
            progress: Told the share that is likely done.

        Yields:
            What to call now and then meanwhile, so that `progress` is up to date.
        """
        began = time.monotonic()
        yield lambda: progress(self.share(voxels, time.monotonic() - began))
        self._measured = max(time.monotonic() - began, 1e-6) / voxels

    def share(self, voxels: int, seconds: float) -> float:
        """The share of a run that is likely done after so many seconds.

        Before there is a measurement it grows ever more slowly.
        """
        if self._measured is None:
            return _NEARLY * (1 - math.exp(-seconds / (_GUESS * voxels)))
        return min(seconds / (self._measured * voxels), _NEARLY)
