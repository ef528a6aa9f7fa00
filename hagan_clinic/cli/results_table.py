"""`results.csv`: a row for each scan of a call, on disk as soon as the scan is done."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hagan_clinic.cli.one_translation import Result
from hagan_clinic.errors import OutputError

COLUMNS = ("subject", "source", "output", "status", "reason", "warnings", "seconds")


def results_name(participants: Sequence[str]) -> str:
    """The table of a cohort's results; of one participant its own, as others may run beside."""
    return f"results_sub-{participants[0]}.csv" if len(participants) == 1 else "results.csv"


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of the tables of results in a folder; none where there is no table."""
    found: list[dict[str, str]] = []
    for table in sorted(folder.glob("results*.csv")):
        lines = table.read_text("utf-8", "replace").splitlines()
        if lines[:1] == [",".join(COLUMNS)]:
            found += csv.DictReader(lines)
    return found


@contextmanager
def rows(table: Path) -> Iterator[Callable[[Result], None]]:
    """A table on disk that always tells what has been done, also after a sudden end.

    Raises:
        OutputError: It cannot be written, or its place has a file that is none.
    """
    header = ",".join(COLUMNS)
    if table.is_dir() or (table.exists() and not table.read_bytes().startswith(header.encode())):
        raise OutputError(f"{table}: is no table of results; move it, or choose another folder")
    earlier = {}
    if table.exists():
        before = csv.DictReader(table.read_text("utf-8").splitlines())
        earlier = {row["output"]: row["warnings"] for row in before}
    try:
        with table.open("w", newline="", encoding="utf-8") as file:
            file.write(f"{header}\n")
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")

            def tell(result: Result) -> None:
                row = _row(result)
                if result.status == "kept":
                    row["warnings"] = earlier.get(row["output"], "")
                writer.writerow(row)
                file.flush()

            yield tell
    except OSError as error:
        raise OutputError(f"{table}: cannot be written ({error.strerror})") from error


def _row(result: Result) -> dict[str, str]:
    job = result.job
    scans = job.source.values() if isinstance(job.source, Mapping) else [job.source]
    return {
        "subject": job.subject or job.name,
        "source": ";".join(map(str, scans)),
        "output": "" if result.status == "failed" else str(job.output),
        "status": result.status,
        "reason": result.message,
        "warnings": "; ".join(result.warnings),
        "seconds": f"{result.seconds:.2f}",
    }
