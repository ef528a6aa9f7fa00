"""Which acquired images belong to results: those named as their scans but for the sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hagan_clinic.data.layouts import endings, nifti_files
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio.dicom.scan import study_series
from hagan_clinic.imageio.dicom.studies import Study, find_studies
from hagan_clinic.imageio.sidecar import stem_of
from hagan_clinic.runtime.page.results import FoundResult
from hagan_clinic.runtime.page.series import SeriesPlace


def real_images(results: Sequence[FoundResult], place: Path) -> list[Path | SeriesPlace | None]:
    """The real image of each result.

    Args:
        results: At least one.
        place: A file, of one result; or a folder, searched to its depth: of `sub-01_T1w.nii.gz`
            the real FLAIR is `sub-01_FLAIR.nii.gz`, and of `t1.nii.gz` in a folder `07`
            `flair.nii.gz` in a folder of this name; of a DICOM series, the FLAIR of its study.

    Returns:
        None where a folder has none.

    Raises:
        InputError: A file is given for several results, there are several images for one, or the
            folder has none for any.
    """
    if not place.is_dir():
        if len(results) > 1:
            raise InputError(f"{place}: is one file, for {len(results)} results: give a folder")
        return [place]
    files = nifti_files(place)
    studies = find_studies(place) if any(result.study for result in results) else []
    found = [
        _of_study(result, studies) if result.study else _of_one(result, files) for result in results
    ]
    if not any(found):
        first = results[0]
        raise InputError(
            f"{place}: has no real {first.target} for {first.name} or another result; expected a "
            "file named like the scan except for the sequence, or a series of its study: give the "
            "folder that has them, or one file for one result"
        )
    return found


def _of_study(result: FoundResult, studies: Sequence[Study]) -> SeriesPlace | None:
    for study in studies:
        if (study.patient, study.uid) == result.study:
            with suppress(InputError):  # there is none, or none that is plainly the one
                uid = study_series(study, [result.target], allow_contrast=True)
                return SeriesPlace(study.folder, uid)
    return None


def _of_one(result: FoundResult, files: Sequence[Path]) -> Path | None:
    scan = next(iter(result.sources.values()))
    if not isinstance(scan, Path):  # a series, which no file is named as
        return None
    prefix, _ = _parts(scan)
    named = [
        file
        for file in files
        if file != result.path
        and _parts(file)[0] == prefix
        and _parts(file)[1] in endings(result.target)
    ]
    beside = [file for file in named if file.absolute().parent.name == scan.absolute().parent.name]
    # A name without a prefix is every patient's.
    chosen = beside if beside or not prefix else named
    if len(chosen) > 1:
        raise InputError(
            f"{result.path}: {len(chosen)} images may be its real {result.target}: "
            f"{some([str(file) for file in chosen])}; expected one: give a narrower folder"
        )
    return chosen[0] if chosen else None


def _parts(file: Path) -> tuple[str, str]:
    """`sub-01` and `t1w` of `sub-01_T1w.nii.gz`."""
    *prefix, ending = re.split(r"[_-](?=[^_-]*$)", stem_of(file))
    return "".join(prefix), ending.lower()
