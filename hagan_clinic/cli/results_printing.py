"""What `translate` shows: a bar or lines while it works, then what became of each scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.one_translation import Result
from hagan_clinic.cli.printing import say, show_table
from hagan_clinic.printable import printable
from hagan_clinic.progress import Listed, remaining

if TYPE_CHECKING:
    from hagan_clinic.runtime import Translator


class _Left(ProgressColumn):
    """The time that is left, by what was translated; what is kept or fails at once takes none."""

    def render(self, task: Task) -> Text:
        worked = task.completed - task.fields["idle"]
        to_do = (task.total or 0) - task.completed
        return Text(remaining(task.elapsed or 0.0, worked, to_do), "progress.remaining")


@contextmanager
def progress_bar(quiet: bool, total: int = 1) -> Iterator[Progress]:
    """A bar of so many jobs, on a terminal."""
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    # A name may be long, and is what is shortened; the stages are all of one length or shorter.
    name = TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
    )
    with Progress(
        TextColumn("{task.fields[stage]:<11}"), BarColumn(20), TaskProgressColumn(),
        TimeElapsedColumn(), _Left(), name,
        console=console, transient=True, disable=hidden, expand=True,
    ) as progress:  # fmt: skip
        progress.add_task("", total=total, stage="", idle=0)
        yield progress


def follower(progress: Progress, total: int, quiet: bool) -> Callable[[Result], None]:
    """A function that takes each result: the bar advances, or a log gets a line."""
    lines = Listed(total, quiet=quiet)
    counts: Counter[str] = Counter()

    def follow(result: Result) -> None:
        counts[result.status] += 1
        took = "" if result.status == "kept" else f", {result.seconds:.1f} s"
        text = printable(f"{result.job.name}: {result.status}{took}")
        lines.add(text, worked=result.status == "translated")
        (task,) = progress.tasks
        progress.update(
            task.id,
            completed=max(task.completed, counts.total()),
            idle=counts.total() - counts["translated"],
        )

    return follow


def reporter(
    progress: Progress, job: TranslationTask, place: int = 0
) -> Callable[[str, float], None]:
    """A function that advances the bar within a job, given its place among all from 0."""
    task = progress.task_ids[0]
    return lambda stage, share: progress.update(
        task, completed=place + share, stage=stage, description=printable(job.name)
    )


def print_results(
    translator: Translator, results: list[Result], where: str, *, listed_in: Path | None = None
) -> None:
    """A table for people: each scan, what became of it, and how many.

    Args:
        translator: What made them.
        results: In their order.
        where: The device or cluster that made them.
        listed_in: The table on disk, if there is one, which tells the outputs' long paths.
    """
    rows = []
    for result in results:
        failed, kept = result.status == "failed", result.status == "kept"
        became = result.status if listed_in else str(result.job.output)
        cells = (
            result.job.name,
            f"failed ({result.exit_code})" if failed else became,
            "" if kept and listed_in else "kept" if kept else f"{result.seconds:.1f}",
            str(len(result.warnings) or ""),
        )
        rows.append(cells)
    show_table(("scan", "result", "seconds", "warnings"), rows)
    for result in results:
        # Those of what is kept were shown when it was made.
        for warning in result.warnings if result.status != "kept" else ():
            say(f"warning: {result.job.name}: {warning}", err=True)
    counts = Counter(result.status for result in results)
    kept_too = f", {counts['kept']} kept" if counts["kept"] else ""
    say(
        f"{counts['translated']} of {len(results)} translated{kept_too}, "
        f"{translator.model.card.name} on {where}"
    )
    if listed_in:
        say(f"wrote {listed_in}")


def print_one(translator: Translator, result: Result, html: Path | None) -> None:
    """What a call of one scan did."""
    job = result.job
    if result.status == "kept":
        say(f"kept {job.output}")
        if html:
            say(f"wrote {html}")
        return
    for path in (job.output, job.uncertainty, job.preview, job.report, html):
        if path is not None:
            say(f"wrote {path}")
    for warning in result.warnings:
        say(f"warning: {warning}", err=True)
    say(f"{translator.model.card.name} on {translator.device.name}, {result.seconds:.1f} s")
    print_terms(translator)


def print_terms(translator: Translator) -> None:
    """Under which terms results may be used."""
    from hagan_clinic.runtime.provenance import REMINDER, licence_in_words

    if translator.device.note:
        say(translator.device.note)
    say(f"Weights: {licence_in_words(translator.model.card.licence)}")
    say(REMINDER)
