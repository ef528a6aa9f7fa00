"""Ridge regression from latents to a measurement, with held-out R² by patient.

The paper's Section IV-D fits by least squares. With more latent dimensions than subjects these have
no one solution, so the squares carry a ridge penalty (Hoerl and Kennard 1970). It is chosen inside
the training part of each fold, and patients, not examinations, are what folds are made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

Array = NDArray[np.float64]

FOLDS = 5
FEWEST_PATIENTS = 2 * FOLDS
PENALTIES = np.logspace(-4, 4, 17)
"""Ridge penalties that are tried, in units of the latents' mean squared distance to their mean."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A linear prediction of a measurement: ``latents @ coefficients + intercept``.

    Attributes:
        coefficients: (latent,).
        intercept: In units of the measurement.
        penalty: The one of `PENALTIES` that was chosen.
        r2: Share of the variance that held-out patients' predictions explain, against the mean of
            the other patients; 0 or less is no better than that mean.
        held_out: (subjects,): each subject's prediction by a fit that saw none of its patient.
    """

    coefficients: Array
    intercept: float
    penalty: float
    r2: float
    held_out: Array


def fit_ridge(
    latents: NDArray[np.floating], values: Array, patients: Sequence[str], *, seed: int = 0
) -> Fit:
    """Fit ``values`` by the latents, and find out on held-out patients what the fit is worth.

    Args:
        latents: (subjects, latent).
        values: (subjects,), in any unit.
        patients: Whose examination each is; a patient is held out whole.
        seed: Of the folds.

    Raises:
        InputError: Too few patients, or latents or values that are not finite or all alike.
    """
    x, y = np.asarray(latents, np.float64), np.asarray(values, np.float64)
    names = sorted(set(patients))
    if len(names) < FEWEST_PATIENTS:
        raise InputError(
            f"found {len(names)} patients with latents and a measurement, expected at least "
            f"{FEWEST_PATIENTS} for {FOLDS} folds; encode and measure more"
        )
    for name, found in (("latents", x), ("measurements", y)):
        if not np.isfinite(found).all():
            raise InputError(f"the {name} hold NaN or infinite values; expected finite numbers")
        if not np.ptp(found, axis=0).any():
            raise InputError(f"the {name} of all {len(y)} subjects are alike: nothing to fit")
    fold_of = _folds(patients, names, seed)
    predicted, baseline = np.empty_like(y), np.empty_like(y)
    for fold in range(FOLDS):
        out = fold_of == fold
        inner = _refolded(fold_of[~out], fold)
        penalty = _best_penalty(x[~out], y[~out], inner)
        coefficients, intercepts = _ridge_path(x[~out], y[~out], np.array([penalty]))
        predicted[out] = x[out] @ coefficients[0] + intercepts[0]
        baseline[out] = y[~out].mean()
    r2 = 1 - ((y - predicted) ** 2).sum() / ((y - baseline) ** 2).sum()
    penalty = _best_penalty(x, y, fold_of)
    coefficients, intercepts = _ridge_path(x, y, np.array([penalty]))
    return Fit(coefficients[0], float(intercepts[0]), penalty, float(r2), predicted)


def _folds(patients: Sequence[str], names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The fold of each subject, one for all of a patient; folds differ by one patient at most."""
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[number]: place % FOLDS for place, number in enumerate(order)}
    return np.array([fold_of[patient] for patient in patients])


def _refolded(folds: NDArray[np.int64], without: int) -> NDArray[np.int64]:
    """The other folds, numbered from 0 without a gap."""
    return folds - (folds > without)


def _best_penalty(x: Array, y: Array, folds: NDArray[np.int64]) -> float:
    """The penalty whose predictions of held-out folds have the least squared error."""
    errors = np.zeros(len(PENALTIES))
    for fold in range(folds.max() + 1):
        out = folds == fold
        coefficients, intercepts = _ridge_path(x[~out], y[~out], PENALTIES)
        errors += ((y[out, None] - x[out] @ coefficients.T - intercepts) ** 2).sum(0)
    # Of equals the largest: the smoothest.
    return float(PENALTIES[len(PENALTIES) - 1 - int(errors[::-1].argmin())])


def _ridge_path(x: Array, y: Array, penalties: Array) -> tuple[Array, Array]:
    """Coefficients (penalties, latent) and intercepts (penalties,), all by one decomposition."""
    centre, mean = x.mean(0), y.mean()
    centred = x - centre
    # The products of subjects are far fewer than those of dimensions, and give the same.
    squares, vectors = np.linalg.eigh(centred @ centred.T)
    scale = squares.mean() or 1.0
    shrunk = (vectors.T @ (y - mean)) / (squares + penalties[:, None] * scale)
    coefficients = shrunk @ vectors.T @ centred
    return coefficients, mean - coefficients @ centre
