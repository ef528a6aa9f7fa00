"""Work through the jobs of one call of `translate`: one failure stops no other, and all is told."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.failures import explained
from hagan_clinic.cli.printing import cell, say
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.sidecar import read_sidecar
from hagan_clinic.runtime.outputs import Outputs
from hagan_clinic.runtime.provenance import file_sha256

if TYPE_CHECKING:
    from hagan_clinic.runtime import Translation, Translator

COLUMNS = ("subject", "source", "output", "status", "reason", "warnings", "seconds")


@dataclass(frozen=True)
class Result:
    """What became of a job: its output with warnings, or a message and an exit code."""

    job: TranslationTask
    seconds: float
    status: str
    warnings: tuple[str, ...] = ()
    message: str = ""
    exit_code: int = 0


def results_name(participants: Sequence[str]) -> str:
    """The table of a cohort's results; of one participant its own, as others may run beside."""
    return f"results_sub-{participants[0]}.csv" if len(participants) == 1 else "results.csv"


def run_all(
    jobs: list[TranslationTask],
    translate: Callable[[TranslationTask, int], Translation],
    *,
    keep: Callable[[TranslationTask], bool],
    table: Path | None,
) -> list[Result]:
    """Do every job; a failure is printed, and the others go on.

    Args:
        jobs: In their order.
        translate: Does one, given its place among them from 0.
        keep: Whether its result is there already and stays.
        table: CSV file for a row of each job, written when the job ends.

    Raises:
        OutputError: The table cannot be written, or its place has a file that is none.
    """
    results = []
    with _rows(table) if table is not None else nullcontext(lambda _: None) as tell:
        for place, job in enumerate(jobs):
            results.append(_run_one(job, place, translate, keep))
            tell(results[-1])
    return results


def _run_one(
    job: TranslationTask,
    place: int,
    translate: Callable[[TranslationTask, int], Translation],
    keep: Callable[[TranslationTask], bool],
) -> Result:
    start = time.perf_counter()
    try:
        if job.problem is not None:
            raise job.problem
        if keep(job):
            return Result(job, time.perf_counter() - start, "kept")
        with folders(job.folders, parents=True):
            translation = translate(job, place)
    except Exception as error:  # one scan's failure is reported, and the others go on
        message, code = explained(error)
        named = message if job.name in message else f"{job.name}: {message}"
        say(f"error: {named}", err=True)
        return Result(job, time.perf_counter() - start, "failed", (), message, code)
    warnings = tuple(translation.report["warnings"])
    return Result(job, time.perf_counter() - start, "translated", warnings)


def is_done(job: TranslationTask, translator: Translator, *, overwrite: bool) -> bool:
    """Whether all outputs of a job are there, made of these very scans by this very model.

    Raises:
        OutputError: The volume is there, but is of something else, and may not be replaced.
    """
    paths = Outputs(job.output, job.uncertainty, job.preview, job.report).paths
    done = all(path.is_file() for path in paths) and _is_of(job, translator)
    if not (done or overwrite) and job.output.exists():
        raise OutputError(
            f"{job.output}: exists, but not with all that is wanted, of this scan and mask, by "
            "this model with these settings; choose another folder, or --overwrite makes it anew"
        )
    return done


def _is_of(job: TranslationTask, translator: Translator) -> bool:
    """Whether a volume's sidecar has the sha256 of every source, of the mask and of the weights."""
    told = read_sidecar(job.output).values
    sources = job.source if isinstance(job.source, Mapping) else {"": job.source}
    settings: dict[str, Any] = {"tf32": True} if translator.device.tf32 else {}
    try:
        hashes = [facts["sha256"] for facts in told["sources"].values()]
        made = (told["model"]["sha256"], sorted(hashes), told.get("settings", {}))
        scans = sorted(file_sha256(scan) for scan in sources.values())
        if job.mask is not None:
            settings["mask_sha256"] = file_sha256(job.mask)
    except (AttributeError, KeyError, TypeError, OSError):  # no sidecar of ours, no scan
        return False
    return made == (translator.model.sha256, scans, settings)


@contextmanager
def folders(wanted: list[Path], *, parents: bool = False) -> Iterator[None]:
    """Make the result folders that are missing; remove those that stayed empty."""
    made: list[Path] = []
    try:
        for folder in wanted:
            above = [one for one in folder.parents if not one.exists()] if parents else []
            for missing in (*reversed(above), folder):
                if not missing.exists():
                    try:
                        missing.mkdir()
                    except OSError as error:
                        raise OutputError(
                            f"{missing}: cannot make this folder ({error.strerror}); choose another"
                        ) from error
                    made.append(missing)
        yield
    finally:
        for folder in reversed(made):
            if not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def _rows(table: Path) -> Iterator[Callable[[Result], None]]:
    """A table on disk that always tells what has been done, also after a sudden end."""
    header = ",".join(COLUMNS)
    if table.is_dir() or (table.exists() and not table.read_bytes().startswith(header.encode())):
        raise OutputError(f"{table}: is no table of results; move it, or choose another folder")
    earlier = {}
    if table.exists():
        rows = csv.DictReader(table.read_text("utf-8").splitlines())
        earlier = {row["output"]: row["warnings"] for row in rows}
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


def print_results(
    translator: Translator, results: list[Result], *, listed_in: Path | None = None
) -> None:
    """A table for people: each scan, what became of it, and how many.

    Args:
        translator: What made them.
        results: In their order.
        listed_in: The table on disk, if there is one, which tells the outputs' long paths.
    """
    from rich.console import Console
    from rich.table import Column, Table

    names = (Column(name, overflow="fold") for name in ("scan", "result"))
    table = Table(*names, "seconds", "warnings")
    for result in results:
        failed, kept = result.status == "failed", result.status == "kept"
        became = result.status if listed_in else str(result.job.output)
        table.add_row(
            cell(result.job.name),
            cell(f"failed ({result.exit_code})" if failed else became),
            "" if kept and listed_in else "kept" if kept else f"{result.seconds:.1f}",
            str(len(result.warnings) or ""),
        )
    Console().print(table)
    for result in results:
        for warning in result.warnings:
            say(f"warning: {result.job.name}: {warning}", err=True)
    counts = Counter(result.status for result in results)
    kept_too = f", {counts['kept']} kept" if counts["kept"] else ""
    say(
        f"{counts['translated']} of {len(results)} translated{kept_too}, "
        f"{translator.model.card.name} on {translator.device.name}"
    )
    if listed_in:
        say(f"wrote {listed_in}")
