"""Dice of label maps: are the structures of the prediction where those of the reference are?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError, some
from hagan_clinic.evaluation.named_files import files_of
from hagan_clinic.imageio import read
from hagan_clinic.volume import Volume, to_canonical

REFERENCE = "reference"
"""Names the folder of label maps that the others are compared with."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelDice:
    """Dice of one structure of one subject."""

    prediction: str
    subject: str
    patient: str
    label: int
    dice: float


def dice_of_labels(prediction: Labels, reference: Labels) -> dict[int, float]:
    """Dice, 2 |P ∩ R| / (|P| + |R|), of every label that either map has; 0 is background.

    A structure that one of the two lacks counts 0. One that both lack is not counted.

    Args:
        prediction: Label map.
        reference: Label map of the same shape.
    """
    labels = np.union1d(np.unique(prediction), np.unique(reference))
    result: dict[int, float] = {}
    for label in labels[labels != 0].tolist():
        marked, true = prediction == label, reference == label
        both = np.count_nonzero(marked & true)
        result[label] = float(2 * both / (np.count_nonzero(marked) + np.count_nonzero(true)))
    return result


def read_labels(path: Path) -> Volume:
    """A label map in canonical axes, int64.

    Raises:
        InputError: It cannot be read, or holds values that are no whole numbers.
    """
    volume = to_canonical(read(path))
    rounded = np.rint(volume.array)
    if not np.array_equal(rounded, volume.array):
        raise InputError(
            f"{path}: holds values that are no whole numbers, expected labels; resample label "
            "maps by nearest neighbour"
        )
    return volume.with_array(rounded.astype(np.int64))


def dice_of_files(prediction: Path, reference: Path) -> dict[int, float]:
    """`dice_of_labels` of two files.

    Raises:
        InputError: One is no label map, or their grids differ.
    """
    one, other = read_labels(prediction), read_labels(reference)
    if not one.grid.same_as(other.grid):
        raise InputError(
            f"{prediction} ({one.grid}) lies on another grid than {reference} ({other.grid}); "
            "resample it by nearest neighbour"
        )
    return dice_of_labels(one.array, other.array)


def check_labels(rows: Sequence[LabelDice]) -> list[str]:
    """Refuse maps that share no structure, and warn of labels that never met their like.

    Returns:
        Warnings, one a line.

    Raises:
        InputError: Of one prediction no structure overlaps in any subject.
    """
    warnings = []
    for name in dict.fromkeys(row.prediction for row in rows):
        own = [row for row in rows if row.prediction == name]
        met = {row.label for row in own if row.dice > 0}
        if not met:
            labels = some([str(label) for label in sorted({row.label for row in own})])
            raise InputError(
                f"no structure of the label maps of {name} overlaps with the reference's (labels "
                f"{labels}): they do not match; give maps with the same labels"
            )
        for label in sorted({row.label for row in own} - met):
            warnings.append(
                f"{name}: label {label} never overlaps with the reference's and counts 0; do both "
                "maps have it?"
            )
    return warnings


def dice_of_cohort(
    folders: Mapping[str, Path], models: Sequence[str], subjects: Sequence[Subject]
) -> list[LabelDice]:
    """Dice of each model's label maps, where it has any, in each subject.

    Args:
        folders: Model's name, or `REFERENCE`, to a folder of label maps named after the subjects;
            without the reference's, the subjects' own label maps are it.
        models: Names of all models.
        subjects: In order.

    Raises:
        InputError: A name or a map is missing, maps lie on different grids, or nothing overlaps.
    """
    named = [name for name in models if name in folders]
    if unknown := sorted(set(folders) - {REFERENCE, *models}):
        raise InputError(
            f"label maps of {unknown[0]}: no such model; expected {', '.join([REFERENCE, *models])}"
        )
    if folders and not named:
        raise InputError("only label maps of the reference are given: give those of a model too")
    rows = []
    for subject in subjects if named else ():
        truth = subject.lesion
        if REFERENCE in folders:
            truth = _label_map(folders[REFERENCE], subject)
        if truth is None:
            raise InputError(
                f"{subject.name} has no label map (seg) to compare with; add it, or give "
                f"those of the {REFERENCE}"
            )
        for name in named:
            found = dice_of_files(_label_map(folders[name], subject), truth)
            rows += [
                LabelDice(name, subject.name, subject.patient, label, value)
                for label, value in found.items()
            ]
    return rows


def _label_map(folder: Path, subject: Subject) -> Path:
    found = files_of(folder, subject.name)
    if len(found) != 1:
        raise InputError(
            f"{subject.name} has {len(found)} label maps in {folder}, expected one, with a name "
            "that begins with the subject's"
        )
    return found[0]
