"""Which series `translate` makes of a tree of DICOM examinations: a tree like its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.data.layouts import nifti_files
from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.scan import is_series, study_series
from hagan_clinic.imageio.dicom.studies import Study, find_studies
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.outputs import is_directory


def studies_of_tree(tree: Path) -> list[Study]:
    """The examinations of a folder of DICOM that holds several; none of anything else.

    Raises:
        InputError: Volume files lie among them, or a folder cannot be read.
    """
    try:
        if not (is_directory(tree) and is_series(tree)):
            return []
    except InputError:  # which the reader tells of
        return []
    studies = find_studies(tree)
    if studies and (volumes := nifti_files(tree)):
        raise InputError(
            f"the folder holds DICOM files (examinations: {len(studies)}) and volume files "
            f"({len(volumes)}), expected one kind; give the folder of one, or the volume files by "
            "name"
        )
    return studies if len(studies) > 1 else []


def dicom_jobs(
    tree: Path,
    studies: Sequence[Study],
    recipe: Recipe,
    folder: Path,
    *,
    uncertainty: Path | None = None,
    preview: Path | None = None,
    report: Path | None = None,
    allow_contrast: bool = False,
) -> list[TranslationTask]:
    """A job for every examination, which messages call by its number.

    The result of an examination that has the folder `p1/mr` for itself is `p1/mr_flair`; of several
    in one folder `p1/examination003_flair`.

    Args:
        tree: The folder that the examinations lie in.
        studies: From `studies_of_tree`.
        recipe: The model's, for its sequences.
        folder: For the derived series, in subfolders like those of the tree.
        uncertainty: Likewise for uncertainty maps.
        preview: Likewise for pictures.
        report: Likewise for reports.
        allow_contrast: Accept scans that look contrast-enhanced.
    """
    jobs = []
    for number, study in enumerate(studies, start=1):
        below = study.folder.relative_to(tree)
        stem = below if study.is_alone else below / f"examination{number:03}"
        name = f"{stem}_{recipe.target}"
        sources = dict.fromkeys(recipe.sources, study.folder)
        series, problem = None, None
        if not study.is_alone:
            try:
                series = study_series(study, recipe.sources, allow_contrast=allow_contrast)
            except InputError as error:
                problem = error
        jobs.append(
            TranslationTask(
                study.folder if len(sources) == 1 else sources,
                folder / name,
                uncertainty and uncertainty / f"{name}_uncertainty",
                preview and preview / f"{name}.png",
                report and report / f"{name}_report.json",
                called=f"examination {number}",
                series=series,
                problem=problem,
            )
        )
    return jobs
