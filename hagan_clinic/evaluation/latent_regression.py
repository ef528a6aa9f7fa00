"""What latents explain of measurements: ridge regression, evaluated on held-out patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from hagan_clinic.data.measurements import logarithm
from hagan_clinic.data.tables import read_table
from hagan_clinic.errors import InputError, some

PENALTY = 1e-4
"""Lambda of the paper's Table VII."""

_NOT_MEASURED = ("subject", "patient", "split")


@dataclass(frozen=True)
class Explained:
    """How much of a measurement's logarithm a model's latents explain in held-out patients.

    Attributes:
        model: Whose latents.
        measure: Column of the table.
        r2: Against the held-out patients' own mean: 0 is no better than that, below is worse.
        fitted: Subjects that were fitted on.
        held_out: Subjects it was evaluated on.
    """

    model: str
    measure: str
    r2: float
    fitted: int
    held_out: int


def read_measurements(
    path: Path, subjects: Sequence[str], measures: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    """Column -> subject -> logarithm of the measurement.

    Args:
        path: CSV with a column subject.
        subjects: Those that are needed.
        measures: Columns; every other than subject, patient and split if none is given.

    Raises:
        InputError: A column or a subject is missing, or a measurement is no positive number.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `hagan-clinic latent measure` writes one")
    rows = {row["subject"]: row for row in read_table(path, ("subject", *measures))}
    if missing := [name for name in subjects if name not in rows]:
        raise InputError(
            f"{path} lacks {len(missing)} of {len(subjects)} subjects: {some(missing)}"
        )
    columns = list(measures) or [
        name for name in next(iter(rows.values())) if name not in _NOT_MEASURED
    ]
    if not columns:
        raise InputError(f"{path} has no column of measurements beside {', '.join(_NOT_MEASURED)}")
    return {
        column: {name: _logarithm(path, name, column, rows[name][column]) for name in subjects}
        for column in columns
    }


def _logarithm(path: Path, subject: str, column: str, text: str) -> float:
    value = logarithm(text)
    if value is None:
        raise InputError(
            f"{path}: {subject} has {text!r} in {column}, expected a positive number, whose "
            "logarithm is fitted; choose columns with --measure"
        )
    return value


def explainable(
    values: Mapping[str, Mapping[str, float]], fitted: Sequence[str], held_out: Sequence[str]
) -> tuple[dict[str, Mapping[str, float]], list[str]]:
    """The measurements that can be fitted on some subjects and evaluated on others.

    Args:
        values: From `read_measurements`.
        fitted: Subjects to fit on.
        held_out: Subjects to evaluate on.

    Returns:
        These, and warnings of those that are left out.
    """
    if min(len(fitted), len(held_out)) < 2:
        return {}, [
            f"there are {len(fitted)} subjects to fit measurements on and {len(held_out)} held "
            "out: a regression needs two or more each, so there is none"
        ]
    alike = [
        column
        for column, of_subject in values.items()
        if len({of_subject[name] for name in held_out}) == 1
    ]
    warning = f"{some(alike)}: one value in all held-out subjects, so there is nothing to explain"
    kept = {column: of_subject for column, of_subject in values.items() if column not in alike}
    return kept, [warning] if alike else []


def explained(
    model: str,
    measure: str,
    latents: Mapping[str, NDArray[np.floating]],
    values: Mapping[str, float],
    fitted: Sequence[str],
    held_out: Sequence[str],
) -> Explained:
    """Fit a measurement that is `explainable` on some subjects, and evaluate it on others."""
    truth = [values[name] for name in held_out]
    ridge = Ridge(alpha=PENALTY)
    ridge.fit(np.stack([latents[name] for name in fitted]), [values[name] for name in fitted])
    predicted = ridge.predict(np.stack([latents[name] for name in held_out]))
    r2 = float(r2_score(truth, predicted))
    return Explained(model, measure, r2, len(fitted), len(held_out))
