"""The subjects of an evaluation, and the patients that its models were trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.split import Split, read_split, split_by_column
from hagan_clinic.data.subject import Subject, patient_of
from hagan_clinic.data.tables import read_table
from hagan_clinic.errors import InputError, some
from hagan_clinic.runtime.synthesis import Facts
from hagan_clinic.training.run_folder import CONFIG, SPLIT


@dataclass(frozen=True)
class Subsets:
    """The subjects of an evaluation.

    Attributes:
        training: To fit reference baselines on; none where the split is unknown, or all subjects
            are evaluated.
        evaluated: To evaluate models on.
    """

    training: tuple[Subject, ...]
    evaluated: tuple[Subject, ...]


def find_subsets(
    cohort: Path,
    sources: Sequence[str],
    target: str | None,
    mask: Path | None,
    *,
    split: Path | None,
    subset: str,
    runs: Sequence[Path] = (),
    fitted: bool = True,
) -> Subsets:
    """Find a cohort and its split.

    Args:
        cohort: A folder or a CSV, as of `train`.
        sources: Sequences that each subject must have.
        target: One more; None where there is none.
        mask: One brain mask for all.
        split: CSV of subject and split; without it the cohort's own column, or the split that the
            first of the runs was trained by.
        subset: The one to evaluate on, or `all`.
        runs: Run folders.
        fitted: Something has to be fitted on training patients. Otherwise all subjects are
            evaluated where the split is unknown.

    Raises:
        InputError: The cohort cannot be read, pairs are missing, the subset is empty, or the
            split is unknown and something is to be fitted.
    """
    subjects = find_cohort(cohort, sources, target, mask)
    parted = None if subset == "all" else _split(subjects, split, runs)
    if parted is None and not fitted:
        return Subsets((), _not_empty(tuple(subjects), subset))
    if parted is None:
        raise InputError(
            f"nothing says which of the {len(subjects)} subjects of {cohort} are test patients, "
            "and the reference baselines are fitted on training patients: give --split FILE (a CSV "
            "of subject and split), or a column 'split' in the cohort's CSV"
        )
    return Subsets(parted.train, _not_empty(parted.subsets()[subset], subset))


def _not_empty(subjects: tuple[Subject, ...], subset: str) -> tuple[Subject, ...]:
    if not subjects:
        raise InputError(
            f"the split has no subject in {subset!r}; expected one or more to evaluate on"
        )
    return subjects


def _split(subjects: Sequence[Subject], split: Path | None, runs: Sequence[Path]) -> Split | None:
    if split is not None:
        return read_split(split, subjects)
    by_column = split_by_column(subjects)
    if by_column is None and runs and (runs[0] / SPLIT).is_file():
        # A run that was trained on another cohort says nothing about this one.
        names = {row["subject"] for row in read_table(runs[0] / SPLIT, ("subject", "split"))}
        if names == {subject.name for subject in subjects}:
            return read_split(runs[0] / SPLIT, subjects)
    return by_column


def check_comparable(models: Mapping[str, Facts], *, one_size: bool) -> None:
    """Refuse models that are to be compared and do not take the same of a scan.

    Args:
        models: Name -> what is known of it.
        one_size: Whether boxes must have the same voxels, and not the same millimetres alone.

    Raises:
        InputError: Two differ.
    """
    taken = {name: _taken(facts, size=one_size) for name, facts in models.items()}
    for (one, expected), (other, found) in pairwise(taken.items()):
        differing = [
            f"{what} {expected[what]} and {found[what]}"
            for what in expected
            if expected[what] != found[what]
        ]
        if differing:
            raise InputError(
                f"{one} and {other} cannot be evaluated on the same scans: {'; '.join(differing)}; "
                "evaluate each by itself"
            )


def _taken(facts: Facts, *, size: bool) -> dict[str, str]:
    """What a model takes of a scan, in words."""
    recipe = facts.recipe
    box = [f"{n * mm:.6g}" for n, mm in zip(recipe.box, recipe.spacing, strict=True)]
    low, high = recipe.window or recipe.percentiles
    unit = "" if recipe.window else " %"
    taken = {
        "sequence": ", ".join(recipe.sources),
        "form": "skull-stripped" if facts.stripped else "whole head",
        "window": f"{low:g} to {high:g}{unit}",
        "box": f"{'x'.join(box)} mm",
    }
    if size:
        taken["size"] = f"{'x'.join(map(str, recipe.box))} voxels"
    return taken


def is_run(path: Path) -> bool:
    """Whether a path is that of a run folder."""
    return (path / CONFIG).is_file()


def seen_in_training(runs: Sequence[Path], evaluated: Sequence[Subject]) -> list[str]:
    """Warnings of runs trained, or whose checkpoint was chosen, on patients of the evaluation."""
    warnings = []
    for run in runs:
        if not (run / SPLIT).is_file():
            continue
        rows = read_table(run / SPLIT, ("subject", "split"))
        known = {
            row.get("patient") or patient_of(row["subject"])
            for row in rows
            if row["split"] != "test"
        }
        if seen := sorted({subject.patient for subject in evaluated} & known):
            warnings.append(
                f"{run} was trained or chosen on {len(seen)} of the patients that it is evaluated "
                f"on: {some(seen)}; its metrics are optimistic"
            )
    return warnings
