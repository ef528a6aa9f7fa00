"""Folds of a cross-validation: whose turn it is to be tested.

A folder of folds holds ``folds.csv`` and, for each fold, ``fold1`` and so on with the fold's
``split.csv``, its run and its evaluation.
"""

import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path

from hagan_clinic.data.split import Split, split_by_patient, write_split
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import write_text
from hagan_clinic.training.run_folder import make_folder

FOLDS = "folds.csv"
SPLIT = "split.csv"


def fold_of_patients(subjects: Sequence[Subject], seed: int, count: int) -> dict[str, int]:
    """The fold, from 1, that each patient is tested in; their sizes differ by one at most.

    Raises:
        InputError: fewer than two folds, or fewer patients than folds.
    """
    patients = sorted({subject.patient for subject in subjects})
    if count < 2:
        raise InputError(f"--folds is {count}: expected 2 or more")
    if count > len(patients):
        raise InputError(
            f"--folds is {count} and the cohort has {len(patients)} patients: expected a patient "
            "or more for each fold"
        )
    random.Random(seed).shuffle(patients)
    return {patient: place % count + 1 for place, patient in enumerate(patients)}


def fold_split(
    subjects: Sequence[Subject],
    folds: dict[str, int],
    number: int,
    seed: int,
    fractions: tuple[float, float, float],
) -> Split:
    """The split of one fold: its patients are tested, the others train and calibrate.

    Args:
        subjects: the cohort.
        folds: from `fold_of_patients`.
        number: of the fold.
        seed: of who calibrates.
        fractions: of `data.split`; the first two in proportion, the third is the fold's.

    Raises:
        InputError: too few patients are left to train and calibrate.
    """
    tested = tuple(s for s in subjects if folds[s.patient] == number)
    others = [s for s in subjects if folds[s.patient] != number]
    training, calibration, _ = fractions
    share = calibration / (training + calibration)
    split = split_by_patient(others, seed, (1 - share, share, 0.0))
    return Split(split.train, split.calibration, tested)


def begin(folder: Path, subjects: Sequence[Subject], folds: dict[str, int]) -> None:
    """Write the folds into a new folder, or check that it was begun with the same.

    Raises:
        InputError: it holds other folds.
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("subject", "patient", "fold"))
    writer.writerows((s.name, s.patient, folds[s.patient]) for s in subjects)
    path = folder / FOLDS
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} holds something else: give another folder with -o")
        make_folder(folder)
        write_text(text.getvalue(), path)
    elif path.read_text("utf-8") != text.getvalue():
        raise InputError(
            f"{path} holds other folds: give the cohort, --folds and --seed that the folder was "
            "begun with, or a new folder with -o"
        )


def place_of(folder: Path, number: int) -> Path:
    """The folder of a fold."""
    return folder / f"fold{number}"


def write_fold(split: Split, place: Path) -> Path:
    """Make a fold's folder, with its split file; the path of that."""
    make_folder(place)
    path = place / SPLIT
    if not path.exists():
        write_split(split, path)
    return path
