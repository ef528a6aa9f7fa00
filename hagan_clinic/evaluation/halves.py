"""Distances at one number of volumes: to halves of the real patients, and between these halves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

REPEATS = 50

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Distance = Callable[[Array, Array], float]


@dataclass(frozen=True, eq=False)
class Halves:
    """Random halves of the real patients, each with the same number of volumes.

    A distance of a few volumes depends on how many they are, and is not 0 between two sets of real
    ones. So both are taken at one number: what a model makes against a half of the patients, and
    the other half against it, which is the floor.

    Attributes:
        pairs: Numbers of the scans of two halves, for each repeat.
        seed: Of the halves, and of which volumes of a set are taken.
    """

    pairs: Sequence[tuple[Rows, Rows]]
    seed: int

    @classmethod
    def of(cls, patients: Sequence[str], most: int, seed: int, repeats: int = REPEATS) -> "Halves":
        """Draw halves.

        Args:
            patients: Whose each scan is; all scans of a patient are in one half.
            most: Volumes that a half may have, such as those of the smallest set.
            seed: Of the draw.
            repeats: How many pairs of halves.

        Raises:
            InputError: A half would have fewer than two scans.
        """
        rng = np.random.default_rng(seed)
        names, of_scan = np.unique(np.asarray(patients), return_inverse=True)
        pairs = []
        for _ in range(repeats):
            first = np.isin(of_scan, rng.permutation(len(names))[: len(names) // 2])
            # Of several scans of a patient other ones are left out each time.
            pairs.append(tuple(rng.permutation(np.flatnonzero(half)) for half in (first, ~first)))
        size = min(most, *(len(half) for pair in pairs for half in pair))
        if size < 2:
            raise InputError(
                f"{len(patients)} real volumes of {len(names)} patients: expected halves of two "
                "volumes or more; add patients"
            )
        return cls([(one[:size], other[:size]) for one, other in pairs], seed)

    @property
    def size(self) -> int:
        """Volumes of each kind in a distance."""
        return len(self.pairs[0][0])

    def floor(self, distance: Distance, real: Array) -> list[float]:
        """The distance of one half to the other, for each repeat.

        Args:
            distance: Of two sets of rows.
            real: A row a scan.
        """
        return [distance(real[one], real[other]) for one, other in self.pairs]

    def against(self, distance: Distance, made: Array, real: Array) -> list[float]:
        """The distance of as many volumes of a set to the second half, for each repeat.

        Args:
            distance: Of two sets of rows.
            made: A row a synthetic volume, `size` or more.
            real: A row a scan.
        """
        rng = np.random.default_rng(self.seed)
        return [
            distance(made[rng.permutation(len(made))[: self.size]], real[other])
            for _, other in self.pairs
        ]
