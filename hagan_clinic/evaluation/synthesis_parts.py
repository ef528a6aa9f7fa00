"""What `evaluate synthesis` finds beside distances of features: structures, and copies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.subject import Subject
from hagan_clinic.evaluation import nearest, structure_sets
from hagan_clinic.evaluation.halves import Halves
from hagan_clinic.evaluation.memorisation import nearness
from hagan_clinic.evaluation.structure_sets import Measure, measure_sets
from hagan_clinic.evaluation.tables import Table, as_csv
from hagan_clinic.evaluation.volume_sets import Patients, VolumeSet

STRUCTURE_FILES = ("structures.csv",)
NEAREST_FILES = ("nearest.csv", "nearest.png")

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReportPart:
    """Tables, files by name, entries of the JSON file and warnings of a report."""

    tables: Sequence[Table] = ()
    files: Mapping[str, str | Callable[[Path], object]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def structure_part(
    real: Patients,
    sets: Sequence[VolumeSet],
    measure: Measure,
    seed: int,
) -> ReportPart:
    """Volumes of structures of real and synthetic brains.

    Args:
        real: Scans.
        sets: Of each model, of the same shape.
        measure: Of a volume.
        seed: Of the halves of the patients.

    Raises:
        InputError: There are too few patients, or the segmenter fails.
    """
    patients = [subject.patient for subject in real.subjects]
    halves = Halves.of(patients, min(map(len, sets)), seed)
    found = measure_sets(real, sets, measure, halves)
    return ReportPart(
        (found.table(),),
        {"structures.csv": as_csv(structure_sets.COLUMNS, found.rows())},
        {"structures": found.facts()},
    )


def nearest_part(
    real: Patients,
    training: Patients,
    sets: Sequence[VolumeSet],
    features: Mapping[str, Array],
    seen: Array,
    *,
    shown: int,
    seed: int,
) -> ReportPart:
    """How near samples lie to the volumes that a model was trained on.

    Args:
        real: Scans of held-out patients.
        training: Scans of training patients.
        sets: Of each model, of the same shape.
        features: Name of the real volumes and of each set -> their features.
        seen: Features of the training volumes.
        shown: Samples of each set to draw.
        seed: Of the permutations.
    """
    subjects: list[Subject] = [*training.subjects, *real.subjects]
    patients = [subject.patient for subject in subjects]
    found = [
        nearness(
            one.name, features[one.name], seen, features[real.name], patients=patients, seed=seed
        )
        for one in sets
    ]
    names = [subject.name for subject in training.subjects]
    size = "×".join(map(str, real.shape))
    facts = {
        one.name: {
            "training": one.training, "held_out": one.held_out, "p_rank": one.p_rank,
            "p_labels": one.p_labels, "nearer_than_any_held_out": one.nearer_than_any,
        }
        for one in found
    }  # fmt: skip
    return ReportPart(
        (nearest.nearness_table(found, size),),
        {
            "nearest.csv": as_csv(nearest.COLUMNS, nearest.nearest_rows(found, names)),
            "nearest.png": lambda path: nearest.draw_nearest(
                sets, found, training, names, max(shown, 1), path
            ),
        },
        {"nearest": facts},
        nearest.alarms(found),
    )
