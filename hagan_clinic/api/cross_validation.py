"""Cross-validation: train and evaluate every fold, then combine what was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hagan_clinic.api.evaluated import Evaluated
from hagan_clinic.api.evaluating import Kind, evaluate
from hagan_clinic.api.folds_evaluation import join_folds
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.paths import cohort_path
from hagan_clinic.data.split import Split
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.synthesis import real_folds
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.folds import (
    begin,
    claimed,
    fold_of_patients,
    fold_split,
    place_of,
    write_fold,
)
from hagan_clinic.training.modes import mode_of
from hagan_clinic.training.run import check_resume, run_training

EVALUATION = "evaluation"
PARTS, SEED = 2, 0
"""Of `evaluate synthesis`, of few patients: the smallest folds that a distance is defined on."""


def cross_validate(
    settings: TrainingConfig,
    folder: Path,
    count: int,
    only: int | None = None,
    *,
    init: str | None = None,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluated | None:
    """Do every fold that is not done and that nobody else does, or one of them.

    Args:
        settings: of the training, without a split.
        folder: for the folds; machines that share it do a fold each.
        count: of folds.
        only: the number of one fold, from 1.
        init: as of `train`.
        cache: as of `train`; in the folder by default, for all folds.
        say: called with each line that a person watching wants to know.

    Returns:
        What all folds found together, or None while some are to be done.

    Raises:
        InputError: the cohort or the settings do not fit, or the folder holds other folds.
    """
    if settings.split:
        raise InputError("--split and --folds exclude each other: folds make their own splits")
    cohort_path(settings.data)
    if only is not None and not 1 <= only <= count:
        raise InputError(f"--fold is {only}: expected 1 to {count}")
    recipe = mode_of(settings).recipe
    subjects = find_cohort(
        settings.data, recipe.sources, recipe.target or None, settings.mask or None
    )
    folds = fold_of_patients(subjects, settings.seed, count)
    splits = {
        number: fold_split(subjects, folds, number, settings.seed, settings.fractions)
        for number in range(1, count + 1)
    }
    kinds = kinds_of(settings)
    if "synthesis" in kinds:
        check_fold_sizes(splits)
    begin(folder, subjects, folds)
    for number in [only] if only else splits:
        place = place_of(folder, number)
        split = write_fold(splits[number], place)
        run, of_fold = place / folder.resolve().name, replace(settings, split=str(split))
        # Of a finished fold too: folds of other settings must not be joined.
        check_resume(of_fold, run, init)
        if is_done(place, kinds):
            continue
        with claimed(place) as holder:
            if holder:
                say(f"fold {number} is in work: {holder}")
                continue
            say(f"fold {number} of {count}")
            run_training(of_fold, run, init=init, cache=cache or folder / "cache", say=say)
            (place / EVALUATION).mkdir(exist_ok=True)
            for kind in kinds:
                if not is_done(place, [kind]):
                    evaluate_fold(kind, run, of_fold, place / EVALUATION / kind, say)
    missing = [n for n in splits if not is_done(place_of(folder, n), kinds)]
    if missing:
        listed = ", ".join(map(str, missing))
        say(f"{folder}: to do, here or on another machine: fold {listed}")
        return None
    return join_folds([folder], folder / EVALUATION, overwrite=True)


def kinds_of(settings: TrainingConfig) -> list[Kind]:
    """The evaluations of a mode's models."""
    if settings.mode == "conditional":
        return ["translation"]
    return ["synthesis", "encoding"] if getattr(settings, "encoder", False) else ["synthesis"]


def check_fold_sizes(splits: Mapping[int, Split]) -> None:
    """Refuse folds that `evaluate synthesis` would refuse, before the first is trained.

    Raises:
        InputError: A fold has too few patients.
    """
    for number, split in splits.items():
        patients = [subject.patient for subject in split.test]
        try:
            real_folds(patients, PARTS, SEED)
        except InputError as error:
            raise InputError(
                f"fold {number} of {len(splits)} has {len(patients)} scans of "
                f"{len(set(patients))} patients, too few to evaluate samples on: expected 4 "
                "patients or more in each fold; add patients, or give fewer --folds"
            ) from error


def is_done(place: Path, kinds: Sequence[str]) -> bool:
    """Whether a fold has been evaluated."""
    return all((place / EVALUATION / kind / f"{kind}.md").exists() for kind in kinds)


def evaluate_fold(
    kind: Kind, run: Path, settings: TrainingConfig, output: Path, say: Callable[[str], None]
) -> None:
    """Evaluate a run on the patients that the fold holds out."""
    options: dict[str, Any] = {"folds": PARTS, "seed": SEED} if kind == "synthesis" else {}
    found = evaluate(
        run,
        settings.data,
        output,
        kind=kind,
        split=settings.split,
        mask=settings.mask or None,
        device=settings.device,
        overwrite=True,
        **options,
    )
    for warning in found.warnings:
        say(f"warning: {warning}")
