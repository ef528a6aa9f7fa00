"""`results.csv`: a row for each result in a folder, on disk as soon as its scan is done."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from hagan_clinic.cli.one_translation import Result
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import atomic_path, reason_of
from hagan_clinic.imageio.lock import alone_at

NAME = "results.csv"
COLUMNS = ("subject", "source", "output", "status", "reason", "warnings", "seconds")
_BETWEEN = " | "  # warnings, which have semicolons of their own

Row = Mapping[str, str]


def read_rows(folder: Path) -> list[Row]:
    """The rows of a folder's table of results; none where there is no table."""
    table = folder / NAME
    return list(_read(table).values()) if _is_ours(table) else []


def warnings_of(row: Row) -> list[str]:
    """The warnings of a row's result."""
    return [one for one in row["warnings"].split(_BETWEEN) if one]


@contextmanager
def rows(table: Path) -> Iterator[Callable[[Result], Result]]:
    """A table on disk that always lists what has been done, also after a crash.

    Rows of earlier calls and of other processes stay, but for those of the same outputs. A result
    that is kept keeps its warnings and seconds; one that a call could not replace keeps its row.

    Yields:
        A function that takes a result, and gives it with the warnings of its row if it is kept.

    Raises:
        OutputError: It cannot be written, or its place has a file that is none.
    """
    if table.exists() and not _is_ours(table):
        raise OutputError(f"{table}: is not a table of results; move it, or choose another folder")
    earlier = _read(table)
    kept: list[Row] = []

    def tell(result: Result) -> Result:
        row = _row(result, table.parent)
        before = earlier.get(row["output"])
        if before is None or before["status"] == "failed":
            _add([row], table, replacing=before is not None)
        elif result.status == "kept":
            # Its earlier row stands meanwhile, and thousands are kept in a minute.
            kept.append({**row, **{name: before[name] for name in ("warnings", "seconds")}})
            return result.with_warnings(tuple(warnings_of(before)))
        elif result.exit_code != OutputError.exit_code or not result.job.output.exists():
            _add([row], table, replacing=True)
        return result

    try:
        yield tell
    finally:
        if kept:
            _add(kept, table, replacing=True)


def _row(result: Result, folder: Path) -> Row:
    job = result.job
    scans = job.source.values() if isinstance(job.source, Mapping) else [job.source]
    sources = "" if job.unnamed else ";".join(map(str, scans))
    return {
        "subject": job.subject or job.name,
        "source": sources,
        "output": job.output.relative_to(folder).as_posix(),
        "status": result.status,
        "reason": result.message,
        "warnings": _BETWEEN.join(result.warnings),
        "seconds": f"{result.seconds:.2f}",
    }


def _is_ours(table: Path) -> bool:
    return table.is_file() and table.read_bytes().startswith(",".join(COLUMNS).encode())


def _read(table: Path) -> dict[str, Row]:
    """By output, in the order in which each was first reported, without a row that was cut off."""
    if not table.exists():
        return {}
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        return {row["output"]: row for row in csv.DictReader(file) if None not in row.values()}


def _add(new: Sequence[Row], table: Path, *, replacing: bool) -> None:
    """Put rows into the table as it is now, in the places of those of the same outputs.

    Args:
        new: At least one.
        table: Which other processes may add to.
        replacing: Some outputs have rows; else the new ones are appended, which takes no longer at
            the end of a large cohort.
    """
    with alone_at(table):
        if not replacing and _is_whole(table):
            try:
                with table.open("a", newline="", encoding="utf-8") as file:
                    _writer(file).writerows(new)
            except OSError as error:
                raise OutputError(f"cannot write {table}: {reason_of(error)}") from error
            return
        there = _read(table) | {row["output"]: row for row in new}
        with (
            atomic_path(table) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            _writer(file).writeheader()
            _writer(file).writerows(there.values())


def _is_whole(table: Path) -> bool:
    """Whether it is there and its last row has its end."""
    with suppress(OSError), table.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
    return False


def _writer(file: TextIO) -> csv.DictWriter[str]:
    return csv.DictWriter(file, COLUMNS, lineterminator="\n")
