"""The split of a cohort into training, calibration and test subjects, by patient."""

import csv
import io
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.data.paths import split_path
from hagan_clinic.data.subject import Subject
from hagan_clinic.data.tables import read_table
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import write_text

SUBSETS = ("train", "calibration", "test")


@dataclass(frozen=True)
class Split:
    """Subjects to fit on, to choose the checkpoint and conformal factor on, and to report on.

    Raises:
        InputError: A patient is in two subsets, or there is nobody to train on.
    """

    train: tuple[Subject, ...]
    calibration: tuple[Subject, ...]
    test: tuple[Subject, ...]

    def __post_init__(self) -> None:
        subset_of: dict[str, str] = {}
        for subset, subjects in self.subsets().items():
            for subject in subjects:
                if subset_of.setdefault(subject.patient, subset) != subset:
                    raise InputError(
                        f"patient {subject.patient} is in {subset_of[subject.patient]} and in "
                        f"{subset} ({subject.name}); all scans of a patient must be in one of them"
                    )
        if not self.train:
            raise InputError("the split leaves no subject to train on")

    def subsets(self) -> dict[str, tuple[Subject, ...]]:
        """The three subsets by the names that a split file uses."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}


def split_by_patient(
    subjects: Sequence[Subject],
    seed: int,
    fractions: tuple[float, float, float],
) -> Split:
    """Draw the split from a seed; the order of ``subjects`` does not matter.

    Args:
        subjects: The cohort.
        seed: The same seed and patients give the same split.
        fractions: Shares of the patients for training, calibration and test. A share above
            zero gets at least one patient.

    Raises:
        InputError: The fractions are no shares of 1, or there are fewer patients than subsets.
    """
    if min(fractions) < 0 or fractions[0] <= 0 or not abs(sum(fractions) - 1) < 1e-6:
        raise InputError(
            f"fractions is {fractions}: expected three shares of 1, as in 0.7, 0.15, 0.15"
        )
    by_patient: dict[str, list[Subject]] = defaultdict(list)
    for subject in sorted(subjects, key=lambda subject: subject.name):
        by_patient[subject.patient].append(subject)
    patients = sorted(by_patient)
    needed = sum(fraction > 0 for fraction in fractions)
    if len(patients) < needed:
        raise InputError(
            f"there are {len(patients)} patients for {needed} subsets of a split; add patients, or "
            "leave the test subset empty with --set fractions=[0.8,0.2,0]"
        )
    random.Random(seed).shuffle(patients)
    held_out = [max(1, round(share * len(patients))) if share else 0 for share in fractions[1:]]
    while sum(held_out) >= len(patients):
        held_out[held_out.index(max(held_out))] -= 1
    first, second = held_out[0], sum(held_out)
    chosen = (patients[second:], patients[:first], patients[first:second])
    train, calibration, test = (
        tuple(subject for patient in sorted(subset) for subject in by_patient[patient])
        for subset in chosen
    )
    return Split(train, calibration, test)


def read_split(file: Path | str, subjects: Sequence[Subject]) -> Split:
    """Read a split from a CSV with the columns ``subject`` and ``split``.

    Raises:
        InputError: A column or a subject is missing, a subject is unknown or named twice, a
            subset has another name than train, calibration, test, or a patient is in two.
    """
    file = split_path(file)
    rows = [(row["subject"], row["split"]) for row in read_table(file, ("subject", "split"))]
    by_name = {subject.name: subject for subject in subjects}
    subsets: dict[str, list[Subject]] = {subset: [] for subset in SUBSETS}
    seen: set[str] = set()
    for name, subset in rows:
        if subset not in subsets:
            expected = ", ".join(SUBSETS)
            raise InputError(f"{file}: {name} is in {subset!r}; expected one of {expected}")
        if name not in by_name:
            raise InputError(f"{file} names {name}, which is not in the cohort")
        if name in seen:
            raise InputError(f"{file} names {name} twice")
        seen.add(name)
        subsets[subset].append(by_name[name])
    if left_out := sorted(set(by_name) - seen):
        raise InputError(
            f"{file} leaves out {len(left_out)} of {len(subjects)} subjects of the cohort: "
            f"{some(left_out)}; put each into a subset, or take it out of the cohort"
        )
    return Split(*(tuple(subsets[subset]) for subset in SUBSETS))


def split_by_column(subjects: Sequence[Subject]) -> Split | None:
    """The split that a cohort CSV's ``split`` column gives, None when it has no such column.

    Raises:
        InputError: Only some subjects have a subset, or one is unknown.
    """
    if all(subject.split is None for subject in subjects):
        return None
    for subject in subjects:
        if subject.split not in SUBSETS:
            raise InputError(
                f"{subject.name} has split {subject.split!r}; expected one of {', '.join(SUBSETS)} "
                "for every subject"
            )
    train, calibration, test = (
        tuple(subject for subject in subjects if subject.split == subset) for subset in SUBSETS
    )
    return Split(train, calibration, test)


def write_split(split: Split, file: Path | str) -> None:
    """Write the split as ``read_split`` reads it, with the patients beside.

    Raises:
        OutputError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("subject", "split", "patient"))
    for subset, subjects in split.subsets().items():
        writer.writerows((subject.name, subset, subject.patient) for subject in subjects)
    write_text(text.getvalue(), file)
