"""Paired one-tailed t-tests: is one model better than another on the same patients?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.stats import ttest_rel

LOWER_IS_BETTER = frozenset({"nmse", "fid", "mmd"})
FEWEST = 2


@dataclass(frozen=True)
class Comparison:
    """A test that `better` is better than `worse`, which it is on average.

    Attributes:
        better: Name of the one with the better mean.
        worse: Name of the other.
        difference: Mean of better minus worse over the pairs.
        t: Of Student's paired test; NaN where the pairs do not differ.
        p: One-tailed, against no difference or the opposite.
        n: Number of pairs.
    """

    better: str
    worse: str
    difference: float
    t: float
    p: float
    n: int


def compare(
    metric: str, values: Mapping[str, Mapping[str, float]], one: str, other: str
) -> Comparison | None:
    """Test two models by the metrics of the patients that both have.

    The side of the test is that of the better mean, so that each p is at most one half: of two
    models of which neither was expected to win, double it.

    Args:
        metric: Which; of `LOWER_IS_BETTER` the lower mean is the better one.
        values: Model -> patient -> metric, a patient's mean where there are several.
        one: A model.
        other: Another.

    Returns:
        None where fewer than two patients have finite metrics of both.
    """
    pairs = [
        (values[one][patient], values[other][patient])
        for patient in values[one]
        if patient in values[other]
    ]
    finite = [pair for pair in pairs if np.isfinite(pair).all()]
    if len(finite) < FEWEST:
        return None
    first, second = np.array(finite).T
    sign = -1 if metric in LOWER_IS_BETTER else 1
    if sign * float(np.mean(first - second)) < 0:
        one, other, first, second = other, one, second, first
    side = "less" if sign < 0 else "greater"
    if np.ptp(first - second) == 0:
        return Comparison(one, other, float(np.mean(first - second)), float("nan"), float("nan"),
                          len(finite))  # fmt: skip
    t, p = ttest_rel(first, second, alternative=side)
    return Comparison(one, other, float(np.mean(first - second)), float(t), float(p), len(finite))


@dataclass(frozen=True)
class Value:
    """A metric of one examination by one model.

    Attributes:
        where: What else the metric is of, such as a region.
        metric: Its name.
        model: Whose.
        patient: Of whom.
        value: The metric.
    """

    where: tuple[str, ...]
    metric: str
    model: str
    patient: str
    value: float


@dataclass(frozen=True)
class Tested:
    """A comparison of two models in one metric."""

    where: tuple[str, ...]
    metric: str
    comparison: Comparison


def compare_pairs(values: Iterable[Value], pairs: Sequence[tuple[str, str]]) -> list[Tested]:
    """Test pairs of models in every metric; examinations of one patient are averaged."""
    gathered: dict[tuple[tuple[str, ...], str], dict[str, dict[str, list[float]]]] = {}
    for value in values:
        by_model = gathered.setdefault((value.where, value.metric), {})
        by_model.setdefault(value.model, {}).setdefault(value.patient, []).append(value.value)
    result: list[Tested] = []
    for (where, metric), by_model in gathered.items():
        averaged = {
            model: {patient: fmean(many) for patient, many in patients.items()}
            for model, patients in by_model.items()
        }
        for one, other in pairs:
            if one in averaged and other in averaged:
                comparison = compare(metric, averaged, one, other)
                if comparison is not None:
                    result.append(Tested(where, metric, comparison))
    return result


def every_pair(models: Sequence[str]) -> list[tuple[str, str]]:
    """Each two of the models."""
    return [(one, other) for number, one in enumerate(models) for other in models[:number]]
