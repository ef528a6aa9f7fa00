"""Cohorts: the subjects of a training, found on disk and checked before any work is done."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hagan_clinic.data.incomplete import OTHER_SEQUENCES, Incomplete, refuse
from hagan_clinic.data.layouts import from_folder
from hagan_clinic.data.paths import cohort_path, is_table, mask_path
from hagan_clinic.data.subject import Subject, patient_of
from hagan_clinic.data.tables import from_csv
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import read_grid
from hagan_clinic.volume import Grid, same_lattice

__all__ = ["Subject", "check_cohort", "find_cohort", "patient_of", "search_cohort"]

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
        InputError: nothing is found, subjects lack a sequence or have two files for one (all of
            them in one error), or the CSV is malformed.
    """
    subjects, incomplete = search_cohort(path, sources, target, mask)
    refuse(incomplete, len(subjects), Path(path))
    return subjects


def search_cohort(
    path: Path | str,
    sources: Sequence[str] = ("t1",),
    target: str | None = "flair",
    mask: Path | str | None = None,
) -> tuple[list[Subject], list[Incomplete]]:
    """Find every subject as `find_cohort` does, and what keeps any from being used.

    Returns:
        The subjects, sorted by name, those included that lack an image; and what is wrong.

    Raises:
        InputError: nothing is found, no subject has one of the sequences, or the CSV is malformed.
    """
    path = cohort_path(path)
    wanted = (*sources, target) if target is not None else tuple(sources)
    if not wanted or len(set(wanted)) < len(wanted):
        raise InputError(f"the sequences are {list(wanted)}; expected at least one, all different")
    subjects, incomplete = (
        from_csv(path, wanted, OTHER_SEQUENCES) if is_table(path) else from_folder(path, wanted)
    )
    if mask is not None:
        of_all = mask_path(mask)
        subjects = [replace(subject, mask=of_all) for subject in subjects]
    return sorted(subjects, key=lambda subject: subject.name), incomplete


def check_cohort(subjects: Sequence[Subject]) -> list[str]:
    """Refuse subjects whose files lie on different grids; only headers are read.

    Returns:
        Warnings, one a line: a very small cohort, one file used by several subjects.

    Raises:
        InputError: Files are no readable 3D NIfTI, or lie on another grid than the subject's first
            sequence; all of them in one error.
    """
    cohort_grids: dict[Path, Grid | InputError] = {}

    def grid_of(file: Path) -> Grid | InputError:
        if file not in cohort_grids:
            try:
                cohort_grids[file] = read_grid(file)
            except InputError as problem:
                cohort_grids[file] = problem
        return cohort_grids[file]

    owners: dict[Path, list[str]] = defaultdict(list)
    elsewhere = []
    for subject in subjects:
        (first, first_file), *others = subject.images.items()
        expected = grid_of(first_file)
        if subject.mask is not None:
            others.append(("mask", subject.mask))
        for role, file in others:
            found = grid_of(file)
            if isinstance(found, InputError) or isinstance(expected, InputError):
                continue
            if not same_lattice(found, expected):
                told = difference(found, expected)
                elsewhere.append(f"{subject.name}: {role} is on another grid than {first}: {told}")
        for file in subject.images.values():
            owners[file.resolve()].append(subject.name)
    unreadable = [str(grid) for grid in cohort_grids.values() if isinstance(grid, InputError)]
    faults = [some(unreadable)] if unreadable else []
    if elsewhere:
        many = f"{len(elsewhere)} files on another grid: " if len(elsewhere) > 1 else ""
        faults.append(f"{many}{some(elsewhere)}; register and resample them to one grid")
    if faults:
        raise InputError("; ".join(faults))
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
