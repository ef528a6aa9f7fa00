"""Cohorts: the subjects of a training, found on disk and checked before any work is done."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hagan_clinic.data.layouts import from_csv, from_folder
from hagan_clinic.data.paths import cohort_path, is_table, mask_path
from hagan_clinic.data.subject import Subject, patient_of
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import read_grid
from hagan_clinic.volume import Grid, same_lattice

__all__ = ["Subject", "check_cohort", "find_cohort", "patient_of"]

SMALLEST_COHORT = 8


def find_cohort(
    path: Path | str,
    sources: Sequence[str] = ("t1",),
    target: str | None = "flair",
    mask: Path | str | None = None,
) -> list[Subject]:
    """Find every subject that has the source and target sequences.

    Three layouts are known: folders of NIfTI files named ``<subject>_<modality>`` or
    ``<subject>-<modality>`` (BraTS, nested or flat), BIDS (``sub-*/[ses-*/]anat``), and a CSV
    with a column for each modality, paths relative to its folder, and optionally ``subject``,
    ``patient``, ``split``, ``mask`` and ``seg``. A file ``brain_mask.nii.gz`` at the top of the
    folder is the mask of every subject that has none of its own.

    Args:
        path: Folder or CSV file.
        sources: Names of the source sequences, in channel order.
        target: Name of the target sequence, None for an unconditional cohort.
        mask: One brain mask for all, before any that is found.

    Returns:
        The subjects, sorted by name.

    Raises:
        InputError: nothing is found, a subject lacks a sequence or has two files for one, or
            the CSV is malformed.
    """
    path = cohort_path(path)
    wanted = (*sources, target) if target is not None else tuple(sources)
    if not wanted or len(set(wanted)) < len(wanted):
        raise InputError(f"the sequences are {list(wanted)}; expected at least one, all different")
    subjects = from_csv(path, wanted) if is_table(path) else from_folder(path, wanted)
    if mask is not None:
        of_all = mask_path(mask)
        subjects = [replace(subject, mask=of_all) for subject in subjects]
    return sorted(subjects, key=lambda subject: subject.name)


def check_cohort(subjects: Sequence[Subject]) -> list[str]:
    """Refuse subjects whose files lie on different grids; only headers are read.

    Returns:
        Warnings, one a line: a very small cohort, one file used by several subjects.

    Raises:
        InputError: A file is not a readable 3D NIfTI, or its grid differs from the grid of the
            subject's first sequence.
    """
    cohort_grids: dict[Path, Grid] = {}

    def grid_of(file: Path) -> Grid:
        if file not in cohort_grids:
            cohort_grids[file] = read_grid(file)
        return cohort_grids[file]

    owners: dict[Path, list[str]] = defaultdict(list)
    for subject in subjects:
        (first, first_file), *others = subject.images.items()
        expected = grid_of(first_file)
        if subject.mask is not None:
            others.append(("mask", subject.mask))
        for role, file in others:
            found = grid_of(file)
            if not same_lattice(found, expected):
                raise InputError(
                    f"{subject.name}: {role} is on another grid than {first}: "
                    f"{difference(found, expected)}; register and resample them to one grid"
                )
        for file in subject.images.values():
            owners[file.resolve()].append(subject.name)
    warnings = [
        f"{file.name} is used by several subjects: {some(names)}"
        for file, names in owners.items()
        if len(names) > 1
    ]
    patients = len({subject.patient for subject in subjects})
    if patients < SMALLEST_COHORT:
        warnings.append(f"only {patients} patients; expect a model that has memorised them")
    return warnings


def difference(found: Grid, expected: Grid) -> str:
    """In which way two grids differ."""
    if found.shape != expected.shape:
        return f"shape {found.shape} against {expected.shape}"
    offset = float(np.abs(found.corners() - expected.corners()).max())
    return f"same shape {found.shape}, but a corner is {offset:.3f} mm away"
