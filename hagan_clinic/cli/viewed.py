"""What `view` shows: results among files and folders, and the runs that their tables list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hagan_clinic.cli.results_table import read_rows, warnings_of
from hagan_clinic.runtime.page import Failure, FoundResult, SeriesPlace, find_derived, find_results


def found_results(paths: Sequence[Path]) -> tuple[list[FoundResult], list[Failure]]:
    """The results among paths, and what failed by the tables of results there.

    A table (`results.csv`) also leads to the scans, and tells warnings and what series are called.

    Raises:
        InputError: There is no result, or the scan of one is not found.
    """
    folders = [path for path in paths if path.is_dir()]
    rows = [(folder, row) for folder in folders for row in read_rows(folder)]
    sources = [Path(one) for _, row in rows for one in row["source"].split(";") if one]
    sources = [path for path in dict.fromkeys(sources) if path.exists() and path not in paths]
    series = find_derived([*folders, *(path for path in sources if path.is_dir())])
    volumes = find_results(
        [*paths, *(path for path in sources if path.is_file())],
        may_lack=bool(series) or any(row["status"] == "failed" for _, row in rows),
    )
    failures = [
        Failure(row["subject"], row["reason"]) for _, row in rows if row["status"] == "failed"
    ]
    by_place = {folder / row["output"]: row for folder, row in rows}
    return [_with_row(result, by_place) for result in (*volumes, *series)], failures


def _with_row(result: FoundResult, rows: Mapping[Path, Mapping[str, str]]) -> FoundResult:
    """A result with what its row says of it."""
    is_series = isinstance(result.path, SeriesPlace)
    place = result.path.folder if isinstance(result.path, SeriesPlace) else result.path
    row = rows.get(place)
    if row is None:
        return result
    return replace(
        result,
        name=row["subject"] if is_series else result.name,
        warnings=result.warnings or warnings_of(row),
    )
