"""Cross-validation: train and evaluate every fold, then combine what was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hagan_clinic.api.evaluated import Evaluated
from hagan_clinic.api.evaluating import Kind
from hagan_clinic.api.folds_evaluation import join_folds
from hagan_clinic.api.one_fold import EVALUATION, PARTS, SEED, Fold, do_in_own_process, is_evaluated
from hagan_clinic.cluster import connected, spread
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.paths import cohort_path
from hagan_clinic.data.split import Split
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.synthesis import real_folds
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.folds import (
    begin,
    fold_of_patients,
    fold_split,
    place_of,
    write_fold,
)
from hagan_clinic.training.run import check_resume


def cross_validate(
    settings: TrainingConfig,
    folder: Path,
    count: int,
    only: int | None = None,
    *,
    cluster: str = "",
    init: str | None = None,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluated | None:
    """Do every fold that is not done, or one of them.

    Args:
        settings: of the training, without a split.
        folder: for the folds.
        count: of folds.
        only: the number of one fold, from 1.
        cluster: whose workers do a fold each, as `cluster.connected` takes it; else they are done
            here, one after the other.
        init: as of `train`.
        cache: as of `train`; in the folder by default, for all folds.
        say: called with each line that a person watching wants to know.

    Returns:
        What all folds found together, or None while some are to be done.

    Raises:
        InputError: the cohort or the settings do not fit, or the folder holds other folds.
        DeviceError: the cluster cannot be used, or was lost.
    """
    if settings.split:
        raise InputError("--split and --folds cannot be combined: folds make their own splits")
    cohort_path(settings.data)
    if only is not None and not 1 <= only <= count:
        raise InputError(f"--fold is {only}: expected 1 to {count}")
    if cluster and settings.devices * settings.nodes > 1:
        raise InputError(
            "--cluster trains each fold in one process: leave --devices and --nodes out"
        )
    recipe = settings.recipe
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
    todo = []
    for number in [only] if only else splits:
        place = place_of(folder, number)
        split = write_fold(splits[number], place)
        run, of_fold = place / folder.resolve().name, replace(settings, split=str(split))
        fold = Fold(
            number, Path.cwd(), place, run, of_fold, tuple(kinds), init, cache or folder / "cache"
        )
        # Of a finished fold too: folds of other settings must not be joined.
        check_resume(of_fold, run, init)
        if not fold.is_done:
            todo.append(fold)
    if cluster and todo:
        _do_on(cluster, todo, say)
    else:
        for fold in todo:
            say(f"fold {fold.number} of {count}")
            fold.do(say)
    missing = [n for n in splits if not is_evaluated(place_of(folder, n), kinds)]
    if missing:
        listed = ", ".join(map(str, missing))
        say(f"{folder}: to do: fold {listed}")
        return None
    return join_folds([folder], folder / EVALUATION, overwrite=True)


def _do_on(cluster: str, folds: Sequence[Fold], say: Callable[[str], None]) -> None:
    """Have each fold done by a worker; one failure does not stop the others.

    Raises:
        HaganClinicError: What a fold failed by, when all have ended.
    """
    failures: list[Exception] = []
    with connected(cluster) as client:
        say(f"{len(folds)} folds on {len(client.nthreads())} workers of {cluster}")
        for place, value in spread(client, do_in_own_process, folds, say=say):
            number = folds[place].number
            if isinstance(value, Exception):
                failures.append(value)
                say(f"fold {number} failed: {value}")
            elif value:
                say(f"fold {number} is done")
    if failures:
        raise failures[0]


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
