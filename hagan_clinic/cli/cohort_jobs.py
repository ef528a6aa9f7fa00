"""Which files `translate` makes of a cohort: a tree like its own, or a BIDS derivative."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.data.examinations import Examination, examinations
from hagan_clinic.data.layouts import nifti_files
from hagan_clinic.data.paths import is_table
from hagan_clinic.errors import InputError, OutputError, some
from hagan_clinic.imageio import atomic_path, is_volume_name
from hagan_clinic.imageio.dicom.studies import find_studies
from hagan_clinic.imageio.sidecar import read_sidecar, stem_of
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.outputs import is_directory, write_json
from hagan_clinic.runtime.provenance import NOTICE, TOOL

BIDS_VERSION = "1.10.0"
_BIDS_SUFFIXES = {"t1": "T1w", "t2": "T2w", "pd": "PDw", "flair": "FLAIR"}
_DESCRIPTION = "dataset_description.json"
_IGNORED = ".bidsignore"
# What people add to a derivative that BIDS has no place for.
_NO_BIDS = ("results.csv", "*.png", "*.html", "*_report.json")


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
        return bool(nifti_files(path)) and (
            (path / _DESCRIPTION).exists() or not find_studies(path)
        )
    except (OSError, InputError):  # which is told by who reads the path
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
        place, stem, notes = one.folder, stem_of(first), dict[str, Any]()
        names = [f"{stem}_{recipe.target}{end}" for end in ("", "_uncertainty")]
        if is_bids:
            place = _bids_folder(one)
            names = [_bids_name(stem, recipe.target, end) for end in ("", "Uncertainty")]
            notes = _bids_notes(cohort, list(one.scans.values()))
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
            notes=notes,
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


def describe_derivative(folder: Path, source: Path, model: dict[str, Any]) -> None:
    """Make a folder a BIDS derivative that names its tool and its source.

    A description that another tool wrote stays, as the folder is then that tool's.

    Args:
        folder: Of the results.
        source: The BIDS dataset.
        model: Name, version, sha256 and licence of the generator.

    Raises:
        OutputError: A file cannot be written, or the folder is described as another tool's.
    """
    description = folder / _DESCRIPTION
    if description.exists():
        if TOOL in [made.get("Name") for made in _described(folder).get("GeneratedBy", [])]:
            return
        raise OutputError(
            f"{description}: describes another data set; choose another folder for the results"
        )
    raw = {"URL": source.resolve().as_uri()}
    if doi := _described(source).get("DatasetDOI"):
        raw["DOI"] = doi
    facts = {
        "Name": f"Synthetic images of {_described(source).get('Name', source.resolve().name)}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": TOOL, "Version": __version__, "Description": NOTICE, "Model": model}
        ],
        "SourceDatasets": [raw],
        "DatasetLinks": {"raw": raw["URL"]},
    }
    with atomic_path(folder / _IGNORED) as ignored, atomic_path(description) as told:
        ignored.write_text("\n".join(_NO_BIDS) + "\n", "utf-8")
        write_json(facts, told)


def _bids_folder(one: Examination) -> PurePath:
    return PurePath(*one.subject.split("_"), "anat")


def _bids_name(stem: str, target: str, end: str) -> str:
    """`sub-01_run-2_T1w` as `sub-01_run-2_desc-synthetic_FLAIR`."""
    entities = [part for part in stem.split("_")[:-1] if not part.startswith("desc-")]
    suffix = _BIDS_SUFFIXES.get(target.lower(), "".join(filter(str.isalnum, target)))
    return "_".join([*entities, f"desc-synthetic{end}", suffix])


def _bids_notes(cohort: Path, scans: list[Path]) -> dict[str, Any]:
    """What BIDS asks of a derivative's sidecar."""
    return {
        "Sources": [f"bids:raw:{scan.relative_to(cohort).as_posix()}" for scan in scans],
        # Nothing is stripped here, and a stripped scan gives a stripped image.
        "SkullStripped": read_sidecar(scans[0]).values.get("SkullStripped") is True,
    }


def _described(folder: Path) -> dict[str, Any]:
    """What a data set says of itself, as far as it can be read."""
    with suppress(OSError, ValueError):
        value = json.loads((folder / _DESCRIPTION).read_text("utf-8"))
        if isinstance(value, dict):
            return value
    return {}
