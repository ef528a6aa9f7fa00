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
from hagan_clinic.imageio.sidecar import read_sidecar, sidecar_path, stem_of
from hagan_clinic.runtime.page.series import SeriesPlace, series_by_sha256
from hagan_clinic.runtime.page.subject import ShownSubject, make_subject
from hagan_clinic.runtime.provenance import file_sha256
from hagan_clinic.volume import Volume

_Origin = tuple[str, ...] | None

_MOST_REPORT = 2**20  # bytes; a report has about 2 kB


@dataclass(frozen=True)
class FoundResult:
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


def find_results(paths: Sequence[Path], *, may_lack: bool = False) -> list[FoundResult]:
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
    wanted = set(named)
    bars, warnings = _bars(sidecars), _warnings(reports)
    scans = _Scans(volumes, folders, sidecars.values())
    results = []
    for path, values in sidecars.items():
        asked = path in wanted or any(map(path.is_relative_to, folders))
        content = str(values.get("content", ""))
        if not (asked and values.get("synthetic") is True and " synthesised from " in content):
            continue
        origin = _origin(values)
        results.append(
            FoundResult(
                path,
                stem_of(path),
                content.partition(" synthesised from ")[0],
                {name: scans.find(path, name, facts) for name, facts in _sources(values).items()},
                bars.get((origin, _settings(values))),
                warnings.get(origin, []),
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
    return [
        replace(result, name=name) for result, name in zip(results, names_of(made), strict=True)
    ]


def read_result(
    result: FoundResult, limit: int, real: Path | SeriesPlace | None = None
) -> ShownSubject:
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


def names_of(paths: Sequence[Path]) -> list[str]:
    """What people call volume files: their names, with their folders where some have one name."""
    stems = [stem_of(path) for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    top = os.path.commonpath([path.absolute().parent for path in paths])
    folders = [path.absolute().parent.relative_to(top) for path in paths]
    return [str(folder / stem) for folder, stem in zip(folders, stems, strict=True)]


def _searched(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Volume files and reports, in the order of the paths, each once."""
    found: dict[Path, None] = {}
    listed: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(path.rglob("*")))
            continue
        found[path] = None
        if path.parent not in listed:
            found |= dict.fromkeys(sorted(path.parent.glob("*")))
            listed.add(path.parent)
    files = [path for path in found if path.is_file()]
    volumes = [path for path in files if is_volume_name(path)]
    sidecars = {sidecar_path(path) for path in volumes}
    return volumes, [path for path in files if path.suffix == ".json" and path not in sidecars]


def _bars(sidecars: Mapping[Path, Mapping[str, Any]]) -> dict[tuple[_Origin, str], Path]:
    """The first error bar of each origin and settings."""
    found: dict[tuple[_Origin, str], Path] = {}
    for path, values in sidecars.items():
        if str(values.get("content", "")).startswith("uncertainty"):
            found.setdefault((_origin(values), _settings(values)), path)
    return found


def _warnings(reports: Iterable[Path]) -> dict[_Origin, list[str]]:
    """Those of the first report of each origin."""
    found: dict[_Origin, list[str]] = {}
    for path in reports:
        if report := read_report(path):
            found.setdefault(_origin(report), [str(one) for one in report["warnings"]])
    return found


def read_report(path: Path) -> Mapping[str, Any]:
    """A report; of a JSON file that is none, nothing."""
    try:
        if path.stat().st_size > _MOST_REPORT:
            return {}
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError):
        return {}
    is_report = isinstance(value, dict) and isinstance(value.get("warnings"), list)
    return value if is_report else {}


def _origin(values: Mapping[str, Any]) -> _Origin:
    """The scans and the model that a sidecar or a report names; what is alike belongs together."""
    sources, model = values.get("sources"), values.get("model")
    if not (isinstance(sources, dict) and isinstance(model, dict)):
        return None
    return (*(str(facts.get("sha256")) for facts in sources.values()), str(model.get("sha256")))


def _settings(values: Mapping[str, Any]) -> str:
    return json.dumps(values.get("settings"), sort_keys=True)


class _Scans:
    """The scans among files and folders by their content, each hashed once and when it may be one.

    Args:
        volumes: Volume files.
        folders: Which may hold DICOM series.
        sidecars: Of all results, for the sizes of the series that they name.
    """

    def __init__(
        self,
        volumes: Iterable[Path],
        folders: Sequence[Path],
        sidecars: Iterable[Mapping[str, Any]],
    ) -> None:
        by_name: dict[str, list[Path]] = {}
        for path in volumes:
            by_name.setdefault(path.name, []).append(path)
        self._waiting = {name: iter(paths) for name, paths in by_name.items()}
        self._files: dict[tuple[str, str], Path] = {}
        sizes = {
            facts["dicom_files"]
            for values in sidecars
            for facts in _sources(values).values()
            if "dicom_files" in facts
        }
        self._more_series = series_by_sha256(folders, sizes)
        self._series: dict[str, SeriesPlace] = {}

    def find(self, result: Path, name: str, facts: Mapping[str, Any]) -> Path | SeriesPlace:
        """A scan of a result, by what its sidecar says of it.

        Raises:
            InputError: It is not there.
        """
        called, sha256 = str(facts.get("file")), str(facts.get("sha256"))
        key = called, sha256
        waiting = self._waiting.get(called, iter(()))
        while key not in self._files and (path := next(waiting, None)):
            self._files.setdefault((called, file_sha256(path)), path)
        if key in self._files:
            return self._files[key]
        if facts.get("dicom_files"):
            while sha256 not in self._series and (hashed := next(self._more_series, None)):
                self._series.setdefault(*hashed)
            if sha256 in self._series:
                return self._series[sha256]
        raise InputError(
            f"{result}: its {name}, {facts.get('file') or 'a DICOM series'}, is not here (by name "
            "and sha256); give the scan's folder too, or write the page with translate --html"
        )


def _sources(values: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of each scan that a sidecar names."""
    sources = values.get("sources")
    return sources if isinstance(sources, dict) and values.get("synthetic") is True else {}
