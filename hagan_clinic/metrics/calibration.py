"""Split-conformal calibration of the error bar, and how well it covers.

The network gives each voxel a Laplace scale b of its error. On calibration subjects, apart from
training and test, the 90 % quantile of |error| / b is the factor with which ±(factor · b) holds
90 % of the voxels. Neighbouring voxels are not exchangeable, subjects are: each subject weighs
the same, whatever the size of its brain.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

LEVEL = 0.9
QUANTILES = 10_000  # a subject: coverage to 1e-4
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Of the intervals that `reliability` looks at."""

Array = NDArray[Any]


def interval_factor(subjects: Iterable[tuple[Array, Array]], level: float = LEVEL) -> float:
    """The half-width of the interval in Laplace scales.

    Each subject stands by `QUANTILES` quantiles of its |error| / scale, so all weigh the same and
    memory does not grow with the size of a brain.

    Args:
        subjects: For each calibration subject the error (or its magnitude) and the scale of its
            in-brain voxels, both of shape (n,) and in the same units; the scale is positive.
        level: The share of voxels the interval is to hold, between 0 and 1.

    Returns:
        The smallest factor whose intervals hold `level` of the voxels of the average subject.

    Raises:
        InputError: There is no subject, one has no voxel, or a scale is not positive.
    """
    points = (np.arange(QUANTILES) + 0.5) / QUANTILES
    ratios = []
    for error, scale in subjects:
        _check(error, scale)
        ratio = np.abs(error) / scale
        ratios.append(np.quantile(ratio, points, method="inverted_cdf"))
    if not ratios:
        raise InputError("no calibration subject was given, expected at least one")
    return float(np.quantile(np.concatenate(ratios), level, method="inverted_cdf"))


def coverage(error: Array, half_width: Array) -> float:
    """The share of voxels whose error the interval holds: mean of |error| ≤ half-width.

    Args:
        error: Prediction minus reference, shape (n,).
        half_width: Of the interval, in the same units, shape (n,).

    Raises:
        InputError: There is no voxel, or a half-width is not positive.
    """
    _check(error, half_width)
    return float(np.mean(np.abs(error) <= half_width))


def reliability(error: Array, half_width: Array, level: float = LEVEL) -> NDArray[np.float64]:
    """The share of voxels that intervals of other levels hold, for each of `LEVELS`.

    Only the interval of one level is calibrated. The others follow from it by the distribution
    that the network was trained with: that of a Laplace error of scale b holds ±b ln(1 / (1 − q)).

    Args:
        error: Prediction minus reference, shape (n,).
        half_width: Of the interval of `level`, shape (n,).
        level: Of the interval that is stated.

    Raises:
        InputError: There is no voxel, or a half-width is not positive.
    """
    _check(error, half_width)
    wider = np.log1p(-np.array(LEVELS)) / np.log1p(-level)
    ratio = np.sort(np.abs(error) / half_width)
    return np.asarray(np.searchsorted(ratio, wider, side="right") / ratio.size)


def error_rank_correlation(error: Array, half_width: Array) -> float:
    """Spearman's correlation of |error| with the stated uncertainty: does it know where it fails?

    Args:
        error: Prediction minus reference, shape (n,).
        half_width: Of the interval, shape (n,).

    Returns:
        Between −1 and 1; NaN when either is constant.

    Raises:
        InputError: There is no voxel, or a half-width is not positive.
    """
    _check(error, half_width)
    middle = (error.size + 1) / 2
    errors, widths = _ranks(np.abs(error)) - middle, _ranks(half_width) - middle
    norm = float(np.linalg.norm(errors) * np.linalg.norm(widths))
    return float(errors @ widths) / norm if norm else float("nan")


def _ranks(values: Array) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean: SciPy's `rankdata`, in a quarter of its time."""
    order = np.argsort(values)
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    count = np.diff(first, append=values.size)
    ranks = np.empty(values.size)
    ranks[order] = np.repeat(first + (count + 1) / 2, count)
    return ranks


def _check(error: Array, scale: Array) -> None:
    if error.shape != scale.shape or error.ndim != 1:
        raise InputError(
            f"errors have shape {error.shape} and scales {scale.shape}, "
            "expected the same single axis"
        )
    if error.size == 0:
        raise InputError("a subject has no voxel in the region, expected some")
    if not float(scale.min()) > 0:
        raise InputError(f"the smallest scale is {scale.min():g}, expected a positive one")
