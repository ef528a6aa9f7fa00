"""Folds of a cross-validation: whose turn it is to be tested, and who is at work on which.

A folder of folds holds ``folds.csv`` and, for each fold, ``fold1`` and so on with the fold's
``split.csv``, its run and its evaluation. Several machines may share the folder: each takes a fold
by making its claim file, which only one can.
"""

import csv
import io
import json
import os
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hagan_clinic.data.split import Split, split_by_patient, write_split
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import write_text
from hagan_clinic.training.run_folder import make_folder

FOLDS = "folds.csv"
CLAIM = "claim.json"
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
            raise InputError(f"{folder} holds something else: give a new folder with -o")
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


@contextmanager
def claimed(place: Path) -> Iterator[str]:
    """Take a fold for this process while the block runs.

    Yields:
        Nothing if it is ours, or in a few words who has it.
    """
    path = place / CLAIM
    ours = {"host": socket.gethostname(), "pid": os.getpid()}
    holder = _taken(path, ours)
    if holder:
        yield holder
        return
    try:
        yield ""
    finally:
        path.unlink(missing_ok=True)


def _taken(path: Path, ours: dict[str, Any]) -> str:
    """Claim a path, in the place of a process of this machine that is gone; else who has it."""
    holder: dict[str, Any] = {"host": "another process", "pid": 0}
    for _ in range(2):
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(ours, file)
            return ""
        except FileExistsError:
            try:
                claim_text = path.read_text("utf-8")
            except FileNotFoundError:  # given back in between
                continue
            holder = json.loads(claim_text) if claim_text else {"host": "another machine", "pid": 0}
            if holder["host"] != ours["host"] or _runs(holder["pid"]):
                break
            # Only one process can move the old claim away, and it must be the one that was read.
            aside = path.with_suffix(f".{ours['pid']}")
            path.replace(aside)
            if aside.read_text("utf-8") != claim_text:
                aside.replace(path)
                break
            aside.unlink()
    return f"{holder['host']}, process {holder['pid']}; if that is gone, delete {path}"


def _runs(pid: int) -> bool:
    """Whether a process of this machine runs; where that cannot be asked, it does."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
