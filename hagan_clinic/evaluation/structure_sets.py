"""Are the structures of synthetic brains as large, and as various, as those of real ones?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from hagan_clinic.evaluation.halves import Halves
from hagan_clinic.evaluation.segmenter import Segmenter
from hagan_clinic.evaluation.structures import structure_volumes
from hagan_clinic.evaluation.tables import Table
from hagan_clinic.evaluation.volume_sets import VolumeSet
from hagan_clinic.volume import Grid

Array = NDArray[np.float64]
Measured = dict[str, float]
Measure = Callable[[NDArray[np.float32], bool], Measured]
"""Of a volume, and whether it is synthetic, to the ml of each structure."""

COLUMNS = ("volumes", "number", "structure", "ml")


def by_brightness(grid: Grid) -> Measure:
    """Structures of stripped T1 brains by `structure_volumes`."""
    return lambda volume, _: structure_volumes(volume, grid.spacing)


def by_segmenter(segmenter: Segmenter, grid: Grid) -> Measure:
    """Every label of a site's own segmenter."""
    voxel_ml = float(np.prod(grid.spacing)) / 1000

    def measure(volume: NDArray[np.float32], synthetic: bool) -> Measured:
        labels, counts = np.unique(segmenter(volume, grid, synthetic=synthetic), return_counts=True)
        return {
            f"label {label}": float(count) * voxel_ml
            for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
            if label != 0
        }

    return measure


@dataclass(frozen=True, eq=False)
class StructureSets:
    """Volumes of structures of real and synthetic brains.

    Attributes:
        ml: Set, the real one first -> structure -> ml of each of its volumes.
        halves: At which number, and against which patients, sets are compared.
    """

    ml: Mapping[str, Mapping[str, Array]]
    halves: Halves

    def distances(self, name: str, structure: str) -> list[float]:
        """Wasserstein distances in ml: of halves of the real patients, or of a set to these."""
        real_name, *_ = self.ml
        real = self.ml[real_name][structure]
        if name == real_name:
            return self.halves.floor(_wasserstein, real)
        return self.halves.against(_wasserstein, self.ml[name][structure], real)

    def table(self) -> Table:
        """A row a structure and set."""
        real_name, *_ = self.ml
        rows = []
        for structure in self.ml[real_name]:
            floor = fmean(self.distances(real_name, structure))
            for name in self.ml:
                values = self.ml[name][structure]
                far = self.distances(name, structure)
                rows.append([
                    structure, name, f"{values.mean():.1f} ± {values.std(ddof=1):.1f}",
                    f"{fmean(far):.1f} ({np.quantile(far, 0.025):.1f} to "
                    f"{np.quantile(far, 0.975):.1f})",
                    f"{fmean(far) / floor:.2f}" if floor else "–",
                ])  # fmt: skip
        header = ["structure", "volumes", "ml", "Wasserstein distance", "/ floor"]
        note = (
            "Mean ± standard deviation; the distance, in ml, of "
            f"{self.halves.size} volumes to as many real ones, mean (2.5 to 97.5 percentile) over "
            f"{len(self.halves.pairs)} halves of the patients. In the rows of real volumes it is "
            "the floor."
        )
        return Table("Volumes of structures", header, rows, note)

    def rows(self) -> list[list[object]]:
        """A row a volume and structure, under `COLUMNS`."""
        return [
            [name, number, structure, float(ml)]
            for name, structures in self.ml.items()
            for structure, values in structures.items()
            for number, ml in enumerate(values, 1)
        ]

    def facts(self) -> dict[str, dict[str, float]]:
        """Mean distance of each structure of each set; that of the real ones is the floor."""
        return {
            name: {one: fmean(self.distances(name, one)) for one in structures}
            for name, structures in self.ml.items()
        }


def measure_sets(
    real: VolumeSet,
    sets: Sequence[VolumeSet],
    measure: Measure,
    halves: Halves,
) -> StructureSets:
    """Measure every volume of every set; a structure that one lacks has 0 ml there.

    Args:
        real: Scans.
        sets: Of each model.
        measure: The ml of the structures of a volume.
        halves: Of the patients, with no more volumes than the smallest set has.
    """
    measured = {
        one.name: [measure(one[number], one is not real) for number in range(len(one))]
        for one in (real, *sets)
    }
    names = dict.fromkeys(name for rows in measured.values() for row in rows for name in row)
    ml = {
        name: {one: np.array([row.get(one, 0.0) for row in rows]) for one in names}
        for name, rows in measured.items()
    }
    return StructureSets(ml, halves)


def _wasserstein(one: Array, other: Array) -> float:
    return float(wasserstein_distance(one, other))
