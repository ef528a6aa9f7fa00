"""Derived DICOM series and what belongs to each, found by what their headers say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.attributes import CODING_SCHEME
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.studies import find_studies
from hagan_clinic.imageio.dicom.values import items, text
from hagan_clinic.runtime.page.results import FoundResult
from hagan_clinic.runtime.page.series import SeriesPlace

_TARGET = re.compile(r"(?:\. |of the )([^.]+?) synthesised from an acquired MR series")
_SETTINGS = re.compile(r"Settings: (.*)\. Licence of the weights: (.*)\.")


def find_derived(folders: Sequence[Path]) -> list[FoundResult]:
    """The derived series among folders, in their order, each with its source and error bar.

    Raises:
        InputError: A folder cannot be read, or the source of one is not found.
    """
    scans: dict[str, SeriesPlace] = {}
    images: dict[str, tuple[SeriesPlace, Dataset]] = {}
    bars: dict[tuple[str, ...], SeriesPlace] = {}
    for folder in dict.fromkeys(one.folder for path in folders for one in find_studies(path)):
        # Headers of one folder at a time: those of a cohort may be more than memory holds.
        for series in find_series(folder).series:
            kind = _kind(series.header)
            if kind is None:
                scans.setdefault(series.uid, SeriesPlace(folder, series.uid))
                continue
            own = (folder / series.instances[0].name).parent
            place = SeriesPlace(own, series.uid, is_derived=True)
            if kind == "IMAGE":
                images.setdefault(series.uid, (place, series.header))
            else:
                bars.setdefault(_origin(series.header), place)
    results = []
    for number, (place, header) in enumerate(images.values(), start=1):
        source = scans.get(_source_uid(header))
        if source is None:
            raise InputError(
                f"derived series {number}: the series that it was made from is not here; give the "
                "scan's folder too, or write the page with translate --html"
            )
        results.append(
            FoundResult(
                place,
                f"series {number}",
                _target(header),
                {"scan": source},
                bars.get(_origin(header)),
                model=_model(header),
                study=(text(header, "PatientID"), text(header, "StudyInstanceUID")),
            )
        )
    return results


def _kind(header: Dataset) -> str | None:
    """`IMAGE` or `UNCERTAINTY`; None of what is not derived by this tool."""
    for code in items(header, "DerivationCodeSequence"):
        if text(code, "CodingSchemeDesignator") == CODING_SCHEME:
            return text(code, "CodeValue")
    return None


def _source_uid(header: Dataset) -> str:
    return next(
        (text(one, "SeriesInstanceUID") for one in items(header, "ReferencedSeriesSequence")), ""
    )


def _origin(header: Dataset) -> tuple[str, ...]:
    """Source, model and settings; an image and an error bar that have the same belong together."""
    return _source_uid(header), _model(header)["sha256"], _settings(header)[0]


def _target(header: Dataset) -> str:
    match = _TARGET.search(text(header, "DerivationDescription"))
    return match[1].lower() if match else "synthetic"


def _settings(header: Dataset) -> tuple[str, str]:
    """Settings and licence, as far as they are stated."""
    match = _SETTINGS.search(text(header, "DerivationDescription"))
    return (match[1], match[2]) if match else ("", "")


def _model(header: Dataset) -> dict[str, str]:
    equipment = items(header, "ContributingEquipmentSequence")
    versions = text(equipment[0], "SoftwareVersions") if equipment else ""
    return {
        "name": text(header, "ManufacturerModelName"),
        "sha256": versions.partition("\\")[0],
        "licence": _settings(header)[1] or "NOASSERTION",
    }
