"""Predictions that know nothing of anatomy: the rows that every model is compared with.

All values are on [0, 1]: the source as the recipe scales it, the target by its own in-brain
percentiles. What is fitted is fitted on training patients, subjects weighted equally, and inside
the brain mask. The oracle is the exception, and is named so: it looks at the reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

BINS = 64

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class FittedCurve:
    """The target's mean for each source value: the best voxelwise translation there is.

    Attributes:
        centres: Source values, ascending, shape (n,).
        means: The target's mean there, shape (n,).
        constant: The target's mean over every source value.
    """

    centres: NDArray[np.float64]
    means: NDArray[np.float64]
    constant: float

    def __call__(self, source: Array) -> NDArray[np.float32]:
        """Look each source value up, linearly between the centres and flat beyond them."""
        return np.interp(source, self.centres, self.means).astype(np.float32)


def fit_curve(subjects: Iterable[tuple[Array, Array]], bins: int = BINS) -> FittedCurve:
    """Fit the target's conditional mean given the source over equal bins of [0, 1].

    Args:
        subjects: For each training patient the in-brain source and target values, both of
            shape (n,) and on [0, 1].
        bins: The number of bins; those that no patient fills are left out.

    Raises:
        InputError: There is no patient, or one has no voxel.
    """
    fit = CurveFit(bins)
    for source, target in subjects:
        fit.add(source, target)
    return fit.curve()


class CurveFit:
    """A `FittedCurve` in the making, patient by patient.

    Args:
        bins: As of `fit_curve`.
    """

    def __init__(self, bins: int = BINS) -> None:
        self._weights, self._sums = np.zeros(bins), np.zeros(bins)

    def add(self, source: Array, target: Array) -> None:
        """Count in a training patient.

        Raises:
            InputError: It has no voxel.
        """
        if source.size == 0:
            raise InputError("a training patient has no voxel in the brain mask, expected some")
        bins = len(self._weights)
        index = np.clip((source * bins).astype(np.intp), 0, bins - 1)
        self._weights += np.bincount(index, minlength=bins) / source.size
        self._sums += np.bincount(index, weights=target, minlength=bins) / source.size

    def curve(self) -> FittedCurve:
        """The mean target of each bin that is filled.

        Raises:
            InputError: There was no patient.
        """
        filled = self._weights > 0
        if not filled.any():
            raise InputError(
                "no training patient was given, expected at least one to fit the curve"
            )
        return FittedCurve(
            centres=(np.flatnonzero(filled) + 0.5) / len(filled),
            means=self._sums[filled] / self._weights[filled],
            constant=float(self._sums.sum() / self._weights.sum()),
        )


def oracle_linear_fit(prediction: Array, reference: Array, mask: Array) -> NDArray[np.float32]:
    """The prediction after the straight line that brings it closest to the reference.

    An oracle: it uses the reference it is measured against. The gap to the prediction itself shows
    how much of the error is one subject's scanner contrast.

    Args:
        prediction: Shape (D, H, W).
        reference: The same shape.
        mask: The region the least squares are over; the line is applied everywhere in it, and
            the prediction stays as it is outside.
    """
    region = mask.astype(bool)
    values = prediction[region].astype(np.float64)
    slope, intercept = np.polyfit(values, reference[region].astype(np.float64), 1)
    fitted = prediction.astype(np.float32)
    fitted[region] = np.clip(slope * values + intercept, 0, 1)
    return fitted
