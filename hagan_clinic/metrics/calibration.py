"""Conformal calibration of the error bar by patient, and how well it covers.

The network gives each voxel a Laplace scale b of its error. On calibration patients, apart from
training and test, a quantile of |error| / b is the factor of the interval ±(factor · b). Voxels
of a patient are not exchangeable, as much of its error is the brightness of all of it; patients
are. So each patient weighs the same, and one that is yet to come stands beside them with
errors as large as may be: hierarchical conformal prediction (Lee, Barber and Willett 2023,
arXiv:2306.06342), by which the interval holds at least 90 % of a new patient's voxels in the mean.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

LEVEL = 0.9
QUANTILES = 10_000  # an image: coverage to 1e-4
HIGHEST = 0.99
"""Quantile of the ratios: what few patients ask for beyond it is a few voxels' chance."""

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Of the intervals that `reliability` looks at."""

Array = NDArray[Any]


def interval_factor(images: Iterable[tuple[str, Array, Array]], level: float = LEVEL) -> float:
    """The half-width of the interval in Laplace scales.

    Each image stands by `QUANTILES` quantiles of its |error| / scale, so that memory does not grow
    with the size of a brain, and all images of a patient together weigh as those of another.

    Args:
        images: For each calibration image the patient's name, and the error (or its magnitude)
            and the scale of the in-brain voxels, both of shape (n,) and in the same units; the
            scale is positive.
        level: The share of voxels the interval is to hold, between 0 and 1.

    Returns:
        The smallest factor whose intervals hold level (K + 1) / K of the voxels of the K patients,
        or `HIGHEST` of them, where K is too small for that; a new patient's then have at least
        `level` in the mean.

    Raises:
        InputError: There is no patient, one has no voxel, or a scale is not positive.
    """
    points = (np.arange(QUANTILES) + 0.5) / QUANTILES
    ratios = defaultdict(list)
    for patient, error, scale in images:
        _check(error, scale)
        ratio = np.abs(error) / scale
        ratios[patient].append(np.quantile(ratio, points, method="inverted_cdf"))
    if not ratios:
        raise InputError("no calibration patient was given, expected at least one")
    wanted = min(level * (len(ratios) + 1) / len(ratios), HIGHEST)
    every = np.concatenate([each for images_of in ratios.values() for each in images_of])
    weights = np.concatenate(
        [np.full(QUANTILES * len(each), 1 / len(each)) for each in ratios.values()]
    )
    return float(np.quantile(every, wanted, weights=weights, method="inverted_cdf"))


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
