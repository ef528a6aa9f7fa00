"""The study's cohort, at the models' voxel size, and its folds."""

from pathlib import Path

import numpy as np

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.tables import as_csv
from hagan_clinic.imageio import read, write, write_text
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.folds import begin, fold_of_patients, fold_split, place_of, write_fold
from hagan_clinic.volume import resample, resampled_grid, to_canonical

SEED = 0
SPACING = 3.0
SOURCE, TARGET = "t1", "flair"


def coarse_cohort(cohort: Path, folder: Path) -> Path:
    """Write a cohort at 3 mm; its CSV.

    Models are evaluated at their own voxel size: what resampling loses is no model's fault, and
    metrics of finer volumes would take longer than the trainings.

    Args:
        cohort: As of `train`, each subject with a brain mask.
        folder: For the volumes.
    """
    table = folder / "cohort.csv"
    if table.exists():
        return table
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for subject in find_cohort(cohort, (SOURCE,), TARGET):
        if subject.mask is None:
            raise InputError(f"{subject.name} has no brain mask, which the study needs: give masks")
        files = {**subject.images, "mask": subject.mask}
        names = {kind: f"{subject.name}_{kind}.nii.gz" for kind in files}
        for kind, name in names.items():
            volume = to_canonical(read(files[kind]))
            volume = resample(volume, resampled_grid(volume.grid, (SPACING,) * 3))
            if kind == "mask":
                volume = volume.with_array((volume.array > 0.5).astype(np.float32))
            write(volume, folder / name, description="at 3 mm")
        rows.append([subject.name, subject.patient, *names.values()])
    write_text(as_csv(["subject", "patient", *names], rows), table)
    return table


def write_folds(cohort: Path, place: Path, count: int) -> None:
    """Write the folds of a cohort by patient, and each one's split, as `train --folds` does."""
    subjects = find_cohort(cohort, (SOURCE,), TARGET)
    folds = fold_of_patients(subjects, SEED, count)
    begin(place, subjects, folds)
    for number in range(1, count + 1):
        split = fold_split(subjects, folds, number, SEED, TrainingConfig.fractions)
        write_fold(split, place_of(place, number))
