"""Results on disk and what belongs to each, found by what the files beside them say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import is_volume_name, read
from hagan_clinic.imageio.sidecar import read_sidecar, stem_of
from hagan_clinic.runtime.page.series import SeriesPlace, series_of_sha256
from hagan_clinic.runtime.page.subject import Subject, make_subject
from hagan_clinic.runtime.provenance import file_sha256
from hagan_clinic.volume import Volume

_MOST_REPORT = 2**20  # bytes; a report has about 2 kB


@dataclass(frozen=True)
class Result:
    """A synthesised volume and what was found of it.

    Attributes:
        path: The volume.
        name: For people: of its file, with its folder where several files have one name.
        target: Name of its sequence.
        sources: The scans that it was made from, by name.
        uncertainty: Its error bar, if there is one.
        warnings: Of its report, if there is one.
        model: Name and licence of what made it.
        study: Of a DICOM series, PatientID and StudyInstanceUID.
    """

    path: Path | SeriesPlace
    name: str
    target: str
    sources: Mapping[str, Path | SeriesPlace]
    uncertainty: Path | SeriesPlace | None = None
    warnings: Sequence[str] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    study: tuple[str, str] | None = None


def find_results(paths: Sequence[Path], *, may_lack: bool = False) -> list[Result]:
    """The volume files among files and folders, with their scans, error bars and reports.

    A folder is searched to its depth; beside a file, its folder alone. A scan is known by its
    sha256, an error bar and a report by the scans and the model that they name.

    Args:
        paths: Files and folders.
        may_lack: There may be none.

    Raises:
        InputError: There is no result and has to be, or a scan of one is not found.
    """
    volumes, reports = _searched(paths)
    sidecars = {path: read_sidecar(path).values for path in volumes}
    named = [path for path in paths if not path.is_dir()]
    folders = [path for path in paths if path.is_dir()]
    results = []
    for path, values in sidecars.items():
        asked = path in named or any(map(path.is_relative_to, folders))
        content = str(values.get("content", ""))
        if not (asked and values.get("synthetic") is True and " synthesised from " in content):
            continue
        made = _origin(values)
        bar = [
            other
            for other, words in sidecars.items()
            if str(words.get("content", "")).startswith("uncertainty")
            and _origin(words) == made
            and words.get("settings") == values.get("settings")
        ]
        report = [words for words in map(_json, reports) if _origin(words) == made]
        results.append(
            Result(
                path,
                stem_of(path),
                content.partition(" synthesised from ")[0],
                {
                    name: _source(path, name, facts, volumes, folders)
                    for name, facts in dict(values.get("sources", {})).items()
                },
                bar[0] if bar else None,
                [str(one) for one in report[0].get("warnings", [])] if report else [],
                dict(values.get("model", {})),
            )
        )
    made = [result.path for result in results if isinstance(result.path, Path)]
    if not (results or may_lack):
        raise InputError(
            f"{', '.join(map(str, paths))}: no volume file here has a JSON file beside it that "
            "calls it synthesised; give results of `hagan-clinic translate`, or their folder"
        )
    if absent := [path for path in named if path not in made and not path.exists()]:
        raise InputError(f"{absent[0]}: does not exist")
    return _told_apart(results, made)


def read_result(result: Result, limit: int, real: Path | SeriesPlace | None = None) -> Subject:
    """Read a result and what belongs to it, in `limit` bytes of a page.

    Raises:
        InputError: A file cannot be read, or is no head.
    """
    return make_subject(
        result.name,
        [(name, _read(path)) for name, path in result.sources.items()],
        (result.target, _read(result.path)),
        uncertainty=None if result.uncertainty is None else _read(result.uncertainty),
        real=None if real is None else _read(real),
        warnings=result.warnings,
        limit=limit,
    )


def _read(place: Path | SeriesPlace) -> Volume:
    return read(place) if isinstance(place, Path) else place.read()


def _told_apart(results: list[Result], paths: list[Path]) -> list[Result]:
    if len({result.name for result in results}) == len(results):
        return results
    top = os.path.commonpath([path.absolute().parent for path in paths])
    below = [path.absolute().parent.relative_to(top) for path in paths]
    return [
        replace(result, name=str(folder / result.name))
        for result, folder in zip(results, below, strict=True)
    ]


def _searched(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Volume files and reports, in the order of the paths, each once."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(path.rglob("*")))
        else:
            found[path] = None
            found |= dict.fromkeys(sorted(path.parent.glob("*")))
    files = [path for path in found if path.is_file()]
    volumes = [path for path in files if is_volume_name(path)]
    return volumes, [path for path in files if path.suffix == ".json"]


def _json(path: Path) -> Mapping[str, Any]:
    """A report; of a JSON file that is none, nothing."""
    if path.stat().st_size > _MOST_REPORT:
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError):
        return {}
    return value if isinstance(value, dict) and "warnings" in value else {}


def _origin(values: Mapping[str, Any]) -> object:
    """The scans and the model that a sidecar or a report names; what is alike belongs together."""
    sources, model = values.get("sources"), values.get("model")
    if not (isinstance(sources, dict) and isinstance(model, dict)):
        return None
    return [facts.get("sha256") for facts in sources.values()], model.get("sha256")


def _source(
    result: Path,
    name: str,
    facts: Mapping[str, Any],
    volumes: Iterable[Path],
    folders: Sequence[Path],
) -> Path | SeriesPlace:
    called, sha256 = facts.get("file"), facts.get("sha256")
    for path in volumes:
        if path.name == called and file_sha256(path) == sha256:
            return path
    if (files := facts.get("dicom_files")) and (
        series := series_of_sha256(folders, str(sha256), files)
    ):
        return series
    raise InputError(
        f"{result}: its {name}, {called or 'a DICOM series'}, is not here (by name and sha256); "
        "give the scan's folder too, or write the page with translate --html"
    )
