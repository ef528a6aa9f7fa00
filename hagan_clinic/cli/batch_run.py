"""Work through the jobs of one call of `translate`: a failure is reported, and others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.one_translation import Result, Settings, attempt
from hagan_clinic.cli.printing import say
from hagan_clinic.cli.results_printing import (
    follower,
    print_results,
    print_terms,
    progress_bar,
    reporter,
)
from hagan_clinic.cli.results_table import rows
from hagan_clinic.cli.translated_page import write_results_page
from hagan_clinic.cluster import WorkerDevices
from hagan_clinic.imageio.output_guard import check_output
from hagan_clinic.runtime.page import PAGE_SUFFIXES, room_for

if TYPE_CHECKING:
    from rich.progress import Progress

    from hagan_clinic.cli.cluster_batch import Cluster
    from hagan_clinic.runtime import Translator


def run_batch(
    jobs: Sequence[TranslationTask],
    translator: Translator,
    settings: Settings,
    *,
    table: Path | None,
    html: Path | None,
    quiet: bool,
    cluster: tuple[Cluster, str] | None = None,
) -> int:
    """Do all jobs and report their outcomes.

    Args:
        jobs: In their order.
        translator: The model on its device.
        settings: Of the call.
        table: CSV file of a row for each job.
        html: Page of what is translated, kept or failed.
        quiet: Tell failures alone.
        cluster: Whose workers do them, and what they call the model; else they are done here.

    Returns:
        The exit code: that of the first failure, or 0.

    Raises:
        OutputError: Table or page cannot be written.
        DeviceError: The cluster cannot be used, or was lost.
    """
    if html:
        check_output(html, overwrite=settings.overwrite, suffixes=PAGE_SUFFIXES)
        settings = replace(settings, page_room=room_for(len(jobs)))
    devices = WorkerDevices(lambda line: say(line, err=True))
    with progress_bar(quiet, total=len(jobs)) as progress:
        if cluster is None:
            done = one_by_one(jobs, translator, settings, progress)
        else:
            where, model = cluster
            done = where.results(jobs, translator.model, model, settings, progress, devices)
        results = collect(done, table, follower(progress, len(jobs), quiet))
    order = {job.output: place for place, job in enumerate(jobs)}
    results.sort(key=lambda result: order[result.job.output])
    has_page = html is not None and write_results_page(results, html, translator)
    if not quiet:
        where_done = translator.device.name
        if cluster:
            where_done = f"the cluster {cluster[0].address}" + (f": {devices}" if devices else "")
        print_results(translator, results, where_done, listed_in=table)
        if has_page:
            say(f"wrote {html}")
        print_terms(translator)
    failures = [result for result in results if result.exit_code]
    if not failures:
        return 0
    first = failures[0]
    say(
        f"error: {len(failures)} of {len(results)} failed; the exit code {first.exit_code} is "
        f"that of {first.job.name}",
        err=True,
    )
    return first.exit_code


def one_by_one(
    jobs: Sequence[TranslationTask], translator: Translator, settings: Settings, progress: Progress
) -> Iterator[Result]:
    """Do the jobs in this process, in their order."""
    for place, job in enumerate(jobs):
        yield attempt(job, translator, settings, reporter(progress, job, place))


def collect(
    results: Iterable[Result], table: Path | None, follow: Callable[[Result], None]
) -> list[Result]:
    """Take results as they come: a failure is reported, and each has its row on disk at once.

    Args:
        results: In any order.
        table: CSV file of a row for each.
        follow: Takes each one too, to show how far it is.

    Raises:
        OutputError: The table cannot be written, or its place has a file that is none.
    """
    taken = []
    with rows(table) if table is not None else nullcontext(lambda result: result) as tell:
        for result in results:
            if result.exit_code:
                name, message = result.job.name, result.message
                say(f"error: {message if name in message else f'{name}: {message}'}", err=True)
            taken.append(tell(result))
            follow(result)
    return taken
