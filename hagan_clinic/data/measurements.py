"""Measurements that come with the scans, in the columns of a cohort's CSV, as numbers to learn."""

import math
from collections.abc import Sequence

import numpy as np

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError

FEWEST = 2
"""Measured subjects that give a mean and a spread."""


def standard_scores(
    subjects: Sequence[Subject], columns: Sequence[str]
) -> list[list[float]] | None:
    """Logarithms of measurements as standard scores: their mean is 0, their spread 1.

    Args:
        subjects: Of whom they are wanted.
        columns: Of the CSV, in order.

    Returns:
        For each subject its scores, NaN where the CSV leaves a cell empty; None without columns.

    Raises:
        InputError: A column is missing, a value is no positive number, or fewer than two subjects
            were measured, or all alike.
    """
    if not columns:
        return None
    scored: list[list[float]] = [[] for _ in subjects]
    for column in columns:
        of_all = np.array([_logarithm(subject, column) for subject in subjects])
        measured = of_all[np.isfinite(of_all)]
        if len(measured) < FEWEST or measured.std() == 0:
            raise InputError(
                f"{column} has {len(np.unique(measured))} different values in {len(of_all)} "
                f"subjects: expected {FEWEST} or more to learn from"
            )
        for scores, value in zip(scored, of_all, strict=True):
            scores.append(float((value - measured.mean()) / measured.std()))
    return scored


def _logarithm(subject: Subject, column: str) -> float:
    """NaN where nothing was measured."""
    if column not in subject.values:
        raise InputError(
            f"the cohort has no column {column!r} of measurements; give --data a CSV with one, "
            "such as `hagan-clinic latent measure` computes"
        )
    text = subject.values[column]
    if not text:
        return math.nan
    value = logarithm(text)
    if value is None:
        raise InputError(
            f"{subject.name} has {text!r} in {column}: expected a positive number, whose logarithm "
            "is learnt, or an empty cell"
        )
    return value


def logarithm(text: str) -> float | None:
    """The logarithm of a measurement; None of what is no positive number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return math.log(value) if value > 0 and math.isfinite(value) else None
