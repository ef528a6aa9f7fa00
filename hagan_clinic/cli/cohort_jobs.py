"""Which files `translate` makes of a cohort: a tree like its own, or a BIDS derivative."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.derivative import DESCRIPTION
from hagan_clinic.data.examinations import Examination, examinations
from hagan_clinic.data.layouts import nifti_files
from hagan_clinic.data.paths import is_table
from hagan_clinic.errors import InputError, OutputError, some
from hagan_clinic.imageio import is_volume_name
from hagan_clinic.imageio.dicom.studies import find_studies
from hagan_clinic.imageio.sidecar import stem_of
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.outputs import is_directory

_BIDS_SUFFIXES = {"t1": "T1w", "t2": "T2w", "pd": "PDw", "flair": "FLAIR"}


def is_cohort(path: Path) -> bool:
    """Whether a path is a cohort of volume files: a CSV, or a folder whose subfolders hold them.

    Volume files in the folder itself are a list of scans, and where there is DICOM it is no cohort
    of volume files, but for a BIDS data set, which may keep its source so.
    """
    if is_table(path):
        return True
    try:
        if not is_directory(path) or any(
            is_volume_name(file) and "mask" not in file.name.lower() for file in path.iterdir()
        ):
            return False
        return bool(nifti_files(path)) and ((path / DESCRIPTION).exists() or not find_studies(path))
    except (OSError, InputError):  # reported by the reader of the path
        return False


def cohort_jobs(
    cohort: Path,
    recipe: Recipe,
    folder: Path,
    *,
    uncertainty: Path | None = None,
    preview: Path | None = None,
    report: Path | None = None,
    participants: Sequence[str] = (),
) -> tuple[list[TranslationTask], bool]:
    """A job for every examination of a cohort, and whether the cohort is BIDS.

    Args:
        cohort: Folder or CSV file.
        recipe: The model's, for its sequences.
        folder: For synthesised volumes, in subfolders like those of the cohort.
        uncertainty: Likewise for uncertainty maps.
        preview: Likewise for pictures.
        report: Likewise for reports.
        participants: Labels of those to translate; all if none is given.

    Raises:
        InputError: The cohort holds no source sequence, or a participant has none.
        OutputError: Two examinations would give one output.
    """
    found, is_bids = examinations(cohort, recipe.sources)
    if participants:
        found = _of_participants(found, cohort, participants)
    jobs: dict[Path, TranslationTask] = {}
    for one in found:
        first = next(iter(one.scans.values()))
        place, stem = one.folder, stem_of(first)
        names = [f"{stem}_{recipe.target}{end}" for end in ("", "_uncertainty")]
        if is_bids:
            place = _bids_folder(one)
            names = [_bids_name(stem, recipe.target, end) for end in ("", "Uncertainty")]
        output = folder / place / f"{names[0]}.nii.gz"
        if output in jobs:
            raise OutputError(
                f"{output}: both {jobs[output].name} and {first} would be written there; "
                "rename one, or list the scans in a CSV"
            )
        jobs[output] = TranslationTask(
            first if len(one.scans) == 1 else one.scans,
            output,
            uncertainty and uncertainty / place / f"{names[1]}.nii.gz",
            preview and preview / place / f"{names[0]}.png",
            report and report / place / f"{names[0]}_report.json",
            called=one.subject if is_table(cohort) else str(first.relative_to(cohort)),
            subject=one.subject,
            mask=one.mask,
            problem=one.problem,
        )
    return list(jobs.values()), is_bids


def _of_participants(
    found: list[Examination], cohort: Path, labels: Sequence[str]
) -> list[Examination]:
    there = {one.subject.split("_")[0] for one in found}
    wanted = {f"sub-{label}" for label in labels}
    if absent := sorted(wanted - there):
        raise InputError(
            f"{cohort} holds no scan to translate of {some(absent)}; of these it does: "
            f"{some(sorted(there))}"
        )
    return [one for one in found if one.subject.split("_")[0] in wanted]


def _bids_folder(one: Examination) -> PurePath:
    return PurePath(*one.subject.split("_"), "anat")


def _bids_name(stem: str, target: str, end: str) -> str:
    """`sub-01_run-2_T1w` as `sub-01_run-2_desc-synthetic_FLAIR`."""
    entities = [part for part in stem.split("_")[:-1] if not part.startswith("desc-")]
    suffix = _BIDS_SUFFIXES.get(target.lower(), "".join(filter(str.isalnum, target)))
    return "_".join([*entities, f"desc-synthetic{end}", suffix])
