"""How far a distance of two sets may be off by the volumes that happened to be in them."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

REPEATS = 200
LEVEL = 0.95

Array = NDArray[np.float64]


def bootstrap_interval(
    distance: Callable[[Array, Array], float],
    made: Array,
    real: Array,
    patients: Sequence[str],
    seed: int,
    repeats: int = REPEATS,
    *,
    least: float = -math.inf,
) -> tuple[float, float]:
    """The 95 % interval of a distance at its numbers of volumes.

    Volumes of the set and patients with all their scans are drawn with replacement. A draw repeats
    some volumes and lacks others, so distances that depend on the number come out larger than
    without: their spread about their mean counts, and is laid about the distance itself.

    Args:
        distance: Of two sets of rows.
        made: A row a synthetic volume.
        real: A row a scan.
        patients: Whose each scan is.
        seed: Of the draws.
        repeats: How many.
        least: What the distance cannot fall below, nor then the interval.
    """
    rng = np.random.default_rng(seed)
    names, of_scan = np.unique(np.asarray(patients), return_inverse=True)
    scans = [np.flatnonzero(of_scan == number) for number in range(len(names))]
    values = []
    for _ in range(repeats):
        drawn = np.concatenate([scans[one] for one in rng.integers(len(names), size=len(names))])
        values.append(distance(made[rng.integers(len(made), size=len(made))], real[drawn]))
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(values, [outside, 1 - outside]) - np.mean(values)
    value = distance(made, real)
    return max(float(value + low), least), float(value + high)
