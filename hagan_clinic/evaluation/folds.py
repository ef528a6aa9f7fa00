"""What the folds of cross-validations found, joined: over patients, and over folds."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.comparison import Tested, Value, compare_pairs, every_pair
from hagan_clinic.evaluation.tables import Table, as_csv, number, p_value
from hagan_clinic.training.folds import FOLDS

KINDS = ("translation", "synthesis", "encoding")
DIGITS = {"psnr": 2, "ssim": 3, "nmse": 4, "ms_ssim": 3, "fid": 3, "mmd": 5, "fid_of_parts": 3,
          "mmd_of_parts": 5}  # fmt: skip
NAMES = {"psnr": "PSNR", "ssim": "SSIM", "nmse": "NMSE", "ms_ssim": "MS-SSIM", "fid": "FID",
         "mmd": "MMD", "fid_of_parts": "FID of parts",
         "mmd_of_parts": "MMD of parts"}  # fmt: skip
MEANS = "each fold's patients."
NOTES = {
    "synthesis": f"{MEANS} Of parts: of some of each fold's volumes, as few as real ones are "
    "compared with other real ones. The lower the MS-SSIM, the more diverse the volumes."
}
TESTED = {"synthesis": ("fid", "mmd")}
"""Metrics that models are compared by, of a kind of evaluation where these are not all."""

HEADER = ("kind", "fold", "model", "where", "figure", "patient", "value")


@dataclass(frozen=True)
class FoldMetric:
    """A metric of a fold.

    Attributes:
        kind: Of evaluation.
        fold: Its number.
        value: What it is of; of a synthesis the fold stands for the patient.
    """

    kind: str
    fold: int
    value: Value

    @property
    def row(self) -> tuple[str, int, str]:
        """What was evaluated in which fold."""
        return self.kind, self.fold, self.value.model

    def cells(self) -> list[object]:
        """For a CSV under `HEADER`."""
        value = self.value
        cells = [value.model, ", ".join(value.where), value.metric, value.patient, value.value]
        return [self.kind, self.fold, *cells]


def read_folds(folder: Path) -> tuple[list[FoldMetric], list[int]]:
    """All metrics of a folder of folds, and the numbers of the folds that have none yet.

    Raises:
        InputError: It is no such folder, or no fold of it is done.
    """
    path = folder / FOLDS
    if not path.is_file():
        raise InputError(f"{folder} holds no {FOLDS}: expected a folder of `train --folds`")
    with path.open(newline="", encoding="utf-8") as file:
        numbers = sorted({int(row["fold"]) for row in csv.DictReader(file)})
    found = {number: list(_read_fold(folder, number)) for number in numbers}
    missing = [number for number in numbers if not found[number]]
    if len(missing) == len(numbers):
        raise InputError(f"{folder}: no fold is done; train it with the command that began it")
    return [one for many in found.values() for one in many], missing


def _read_fold(folder: Path, number: int) -> Iterator[FoldMetric]:
    place = folder / f"fold{number}" / "evaluation"
    for kind in KINDS:
        rows = place / kind / "subjects.csv"
        if rows.exists():
            with rows.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    where = tuple(row[name] for name in ("form", "region") if name in row)
                    model = row.get("prediction") or row["model"]
                    for name in DIGITS:
                        if row.get(name):
                            value = Value(where, name, model, row["patient"], float(row[name]))
                            yield FoldMetric(kind, number, value)
        sets = place / kind / "figures.json"
        if kind == "synthesis" and sets.exists():
            for one in json.loads(sets.read_text("utf-8"))["figures"]:
                metrics = {**one["overall"], "ms_ssim": one["ms_ssim"]}
                metrics |= {f"{name}_of_parts": fmean(many) for name, many in one["folds"].items()}
                for name, value in metrics.items():
                    of_fold = Value((one["size"],), name, one["name"], f"fold {number}", value)
                    yield FoldMetric(kind, number, of_fold)


def tables(found: Sequence[FoldMetric], models: Sequence[str]) -> list[Table]:
    """Mean and standard deviation over folds of every model, then tests between the models."""
    result = []
    for kind in dict.fromkeys(one.kind for one in found):
        here = [one for one in found if one.kind == kind]
        names = [name for name in DIGITS if any(one.value.metric == name for one in here)]
        cells = []
        for model, where in dict.fromkeys((one.value.model, one.value.where) for one in here):
            own = [one for one in here if (one.value.model, one.value.where) == (model, where)]
            cells.append([model, ", ".join(where), *(_over_folds(own, name) for name in names)])
        header = ["model", "where", *(NAMES[name] for name in names)]
        note = f"Mean ± standard deviation over folds, of the mean over {NOTES.get(kind, MEANS)}"
        result.append(Table(kind.capitalize(), header, cells, note))
    return [*result, _tests_table(tests(found, models))]


def _over_folds(found: Sequence[FoldMetric], name: str) -> str:
    by_fold: dict[int, list[float]] = {}
    for one in found:
        if one.value.metric == name:
            by_fold.setdefault(one.fold, []).append(one.value.value)
    means = [fmean(values) for values in by_fold.values()]
    if not means:
        return "–"
    spread = stdev(means) if len(means) > 1 else float("nan")
    return f"{number(fmean(means), DIGITS[name])} ± {number(spread, DIGITS[name])}"


def tests(found: Sequence[FoldMetric], models: Sequence[str]) -> list[tuple[str, Tested]]:
    """Paired tests between models: over patients, of a synthesis over folds."""
    return [
        (kind, tested)
        for kind in dict.fromkeys(one.kind for one in found)
        for tested in compare_pairs(
            [
                one.value
                for one in found
                if one.kind == kind and one.value.metric in TESTED.get(kind, DIGITS)
            ],
            every_pair(models),
        )
    ]


def _tests_table(found: Sequence[tuple[str, Tested]]) -> Table:
    title = "Paired t-tests, one-tailed"
    if not found:
        return Table(title, [], [], "None: there is one model.")
    cells = [
        [
            one.comparison.better, one.comparison.worse, kind, ", ".join(one.where),
            NAMES[one.metric], number(one.comparison.difference, DIGITS[one.metric]),
            number(one.comparison.t, 2), p_value(one.comparison.p), str(one.comparison.n),
        ]
        for kind, one in found
    ]  # fmt: skip
    header = ["better", "worse", "evaluation", "where", "metric", "difference", "t", "p", "n"]
    note = (
        "n is the number of patients, of a synthesis that of folds. Each test is one-tailed in "
        "favour of the better mean: double p unless the direction was fixed beforehand. p is not "
        "corrected for the number of tests. Folds share training patients, so their metrics are "
        "not independent."
    )
    return Table(title, header, cells, note)


def metrics_csv(found: Sequence[FoldMetric]) -> str:
    """Every metric of every fold."""
    return as_csv(HEADER, [one.cells() for one in found])
