"""How similar synthetic volumes are to real ones: FID, MMD, diversity and coverage."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.bootstrap import bootstrap_interval
from hagan_clinic.evaluation.comparison import Comparison, Value, compare_pairs, every_pair
from hagan_clinic.evaluation.feature_cache import FeatureCache
from hagan_clinic.evaluation.halves import Distance, Halves
from hagan_clinic.evaluation.volume_sets import VolumeSet
from hagan_clinic.metrics.diversity import (
    NEAREST,
    coverage,
    kernel_width,
    maximum_mean_discrepancy,
    pairwise_ms_ssim,
)
from hagan_clinic.metrics.frechet import frechet_distance

REAL = "real, against other real"
DISTANCES = ("fid", "mmd")
LEAST = {"fid": 0.0, "mmd": -math.inf}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SetFigures:
    """The metrics of one set of volumes against the real ones.

    Attributes:
        name: Of the set, or `REAL`.
        size: "D×H×W".
        n: Volumes of the set.
        real: Real volumes they are compared with.
        overall: Metric -> value over all volumes; NaN for `REAL`.
        intervals: Metric -> 95 % bootstrap interval of it; none for `REAL`.
        halves: Metric -> its values at one number of volumes, `half` of either kind, against halves
            of the real patients; for `REAL` between these halves, which is the floor. Here alone
            is `coverage`, as it depends on the numbers of both; not of so few volumes that it has
            no value.
        half: Volumes of either kind there.
        folds: Figure -> value of each fold, of `fold_size` volumes of either kind.
        fold_size: Volumes of either kind in a fold.
        ms_ssim: Mean MS-SSIM of pairs of the set: the lower, the more diverse.
    """

    name: str
    size: str
    n: int
    real: int
    overall: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    halves: Mapping[str, Sequence[float]]
    half: int
    folds: Mapping[str, Sequence[float]]
    fold_size: int
    ms_ssim: float

    def mean(self, metric: str) -> float:
        """Over the folds."""
        return fmean(self.folds[metric])

    def deviation(self, metric: str) -> float:
        """Standard deviation over the folds; NaN of one."""
        values = self.folds[metric]
        return stdev(values) if len(values) > 1 else float("nan")


@dataclass(eq=False)
class Synthesis:
    """What was found at one size.

    Attributes:
        rows: Real against other real volumes, then each set.
        features: Name of each set, `real` first, to its features (volumes, features).
        tests: Between sets, by metric.
    """

    rows: list[SetFigures] = field(default_factory=list)
    features: dict[str, Array] = field(default_factory=dict)
    tests: list[tuple[str, Comparison]] = field(default_factory=list)


def evaluate_synthesis(
    real: VolumeSet,
    sets: Sequence[VolumeSet],
    cache: FeatureCache,
    *,
    patients: Sequence[str],
    folds: int,
    pairs: int,
    seed: int,
    step: Callable[[], None] = lambda: None,
) -> Synthesis:
    """Compare sets of synthetic volumes with real ones of their shape.

    Args:
        real: Scans.
        sets: Of each model.
        cache: Gives features.
        patients: Whose each scan is; a fold has all scans of a patient.
        folds: Number of folds, at least 2; each compares other volumes.
        pairs: Of volumes, for diversity.
        seed: Of folds and pairs.
        step: Called after each volume's features.

    Raises:
        InputError: Too few volumes for the folds, or volumes that are all alike.
    """
    by_fold = real_folds(patients, folds, seed)
    # One number for all, as the distances depend on it.
    each = min([*map(len, by_fold), *(_fold_size(one, folds) for one in sets)])
    found = Synthesis()
    found.features = {one.name: cache.all(one, step) for one in (real, *sets)}
    size = "×".join(map(str, real.shape))
    scans = found.features[real.name]
    # One kernel for all, so that values of different volumes compare.
    distances: dict[str, Distance] = {
        "fid": frechet_distance,
        "mmd": partial(maximum_mean_discrepancy, width=kernel_width(scans)),
    }
    halves = Halves.of(patients, min(map(len, sets)), seed)
    at_halves = distances | ({"coverage": coverage} if halves.size > NEAREST else {})
    floor = {name: halves.floor(distance, scans) for name, distance in at_halves.items()}
    between = [
        (scans[by_fold[one][:each]], scans[by_fold[(one + 1) % folds][:each]])
        for one in range(folds)
    ]
    found.rows.append(
        SetFigures(
            REAL, size, len(real), len(real), dict.fromkeys(DISTANCES, float("nan")), {}, floor,
            halves.size, _in_folds(distances, between), each, pairwise_ms_ssim(real, pairs, seed),
        )
    )  # fmt: skip
    for one in sets:
        features = found.features[one.name]
        between = [
            (features[fold * each : (fold + 1) * each], scans[by_fold[fold][:each]])
            for fold in range(folds)
        ]
        overall, intervals = {}, {}
        for name, distance in distances.items():
            overall[name] = distance(features, scans)
            intervals[name] = bootstrap_interval(
                distance, features, scans, patients, seed, least=LEAST[name]
            )
        found.rows.append(
            SetFigures(
                one.name, size, len(one), len(real), overall, intervals,
                {name: halves.against(of, features, scans) for name, of in at_halves.items()},
                halves.size,
                _in_folds(distances, between), each, pairwise_ms_ssim(one, pairs, seed),
            )
        )  # fmt: skip
    found.tests = _tests(found.rows)
    return found


def real_folds(patients: Sequence[str], folds: int, seed: int) -> list[NDArray[np.intp]]:
    """Numbers of the scans of each fold, all scans of a patient in one.

    Raises:
        InputError: A fold gets fewer than two scans.
    """
    names = sorted(set(patients))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[number]: place % folds for place, number in enumerate(order)}
    of_scan = np.array([fold_of[patient] for patient in patients])
    result = [np.flatnonzero(of_scan == fold) for fold in range(folds)]
    if min(map(len, result)) < 2:
        raise InputError(
            f"{len(patients)} real volumes of {len(names)} patients make no {folds} folds of two "
            "or more; add patients, or give fewer --folds"
        )
    return result


def _fold_size(volumes: VolumeSet, folds: int) -> int:
    """Volumes of a set that a fold can have."""
    each = len(volumes) // folds
    if each < 2:
        raise InputError(
            f"{volumes.name} has {len(volumes)} volumes for {folds} folds: expected two or more in "
            "each; make more, or give fewer --folds"
        )
    return each


def _in_folds(
    distances: Mapping[str, Distance], between: Sequence[tuple[Array, Array]]
) -> dict[str, list[float]]:
    return {
        name: [distance(one, other) for one, other in between]
        for name, distance in distances.items()
    }


def _tests(rows: Sequence[SetFigures]) -> list[tuple[str, Comparison]]:
    """Each pair of sets, over the folds."""
    names = [row.name for row in rows if row.name != REAL]
    values = (
        Value((), metric, row.name, f"fold {fold}", value)
        for row in rows
        for metric, values in row.folds.items()
        for fold, value in enumerate(values)
    )
    return [(one.metric, one.comparison) for one in compare_pairs(values, every_pair(names))]
