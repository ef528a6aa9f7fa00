"""`hagan-clinic translate`: one scan, several, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import say
from hagan_clinic.cli.series_options import series_options
from hagan_clinic.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from hagan_clinic.cli.batch import TranslationTask
    from hagan_clinic.cli.translated_page import TranslatedPage
    from hagan_clinic.imageio.dicom.options import SeriesOptions
    from hagan_clinic.runtime import Translation, Translator

_EXAMPLE = """\b
Examples:
  hagan-clinic translate t1.nii.gz -o flair.nii.gz --preview flair.png
  hagan-clinic translate series/ -o flair_series/ --burn-in
  hagan-clinic translate series/ -o flair.nii.gz
  hagan-clinic translate bids/ -o synthetic/ --uncertainty synthetic/ --skip-existing
"""
# Whether a scan can be read is found when its turn comes, so that the others go on.
_PATH = click.Path(path_type=Path, readable=False)


@dataclass(frozen=True)
class _Options:
    series: str | None
    dicom_like: Path | None
    series_options: SeriesOptions | None
    allow_contrast: bool
    overwrite: bool
    quiet: bool


@click.command(epilog=_EXAMPLE)
@click.argument("inputs", nargs=-1, type=_PATH)
@click.option(
    "-o",
    "--output",
    required=True,
    type=_PATH,
    help="File; of a DICOM series also a folder, for a series; with several inputs, a folder.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=FILE",
    help="A scan by its sequence, for models that take several: --source t1=… --source t2=…",
)
@click.option(
    "--mask", type=_PATH, help="Brain mask on the scan's grid, for its grey values and its place."
)
@click.option(
    "--uncertainty", type=_PATH, help="Where to write the half-width of the 90 % interval."
)
@click.option("--preview", type=_PATH, help="Where to write a picture (.png).")
@click.option("--report", type=_PATH, help="Where to write facts of the run (.json).")
@click.option("--html", type=_PATH, help="Where to write one page to look at the results (.html).")
@click.option(
    "--model", default="t1_to_flair", show_default=True, help="Name of a bundled model, or a file."
)
@device_option
@click.option(
    "--max-memory",
    metavar="SIZE",
    help="Limit on added memory, such as 1GiB; a volume that does not fit goes slab by slab.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]"
)
@click.option("--tf32", is_flag=True, help="Let CUDA use TensorFloat-32: quicker, less exact.")
@click.option("--series", metavar="UID", help="The DICOM series to take (see `inspect`).")
@click.option(
    "--dicom-like",
    type=_PATH,
    help="The DICOM series that a volume file was converted from: writes a series like it.",
)
@series_options
@click.option("--allow-contrast", is_flag=True, help="Take scans that look contrast-enhanced.")
@click.option(
    "--skip-existing", is_flag=True, help="Keep results that this model made of these very scans."
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def command(
    context: click.Context,
    /,
    inputs: tuple[Path, ...],
    output: Path,
    sources: tuple[str, ...],
    mask: Path | None,
    uncertainty: Path | None,
    preview: Path | None,
    report: Path | None,
    html: Path | None,
    model: str,
    device: str,
    max_memory: str | None,
    threads: int | None,
    tf32: bool,
    series: str | None,
    dicom_like: Path | None,
    allow_contrast: bool,
    skip_existing: bool,
    overwrite: bool,
    quiet: bool,
    participants: Sequence[str] = (),
    **chosen: Any,
) -> None:
    """Synthesise the model's target sequence from a scan: FLAIR from T1.

    The result lies on the scan's grid, from 0 to 1, with a JSON file beside it that says what it
    is. A scan may be a DICOM series, in a folder with other series, a DICOMDIR or a zip; -o then
    names a folder for a DICOM series, or a volume file.

    INPUTS may also be one cohort, as `train --data` takes it: patients' folders, BIDS or a CSV.
    Results lie in folders like the scans, of BIDS as a derivative data set, with a results.csv.

    With several INPUTS, a folder of volume files, or -o naming a folder, every output option names
    a folder and files are named after the scans. Of a folder, the scans named as the source (t1,
    T1w, t1n) are taken, or all if none is; of DICOM series, each a folder or a zip of its own,
    results are numbered. One failure does not stop the others; the exit code is then that of the
    first failure.
    """
    by_name = _by_name(sources)
    if bool(inputs) == bool(by_name):
        raise click.UsageError("Give INPUTS or --source NAME=FILE, one of the two.")

    # Imported here, so that --help is quick.
    from hagan_clinic.cli.batch import TranslationTask, many_jobs, may_be_series
    from hagan_clinic.cli.batch_run import folders, is_done, print_results, results_name, run_all
    from hagan_clinic.cli.cohort_jobs import cohort_jobs, describe_derivative, is_cohort
    from hagan_clinic.cli.series_options import Given
    from hagan_clinic.cli.translated_page import TranslatedPage
    from hagan_clinic.imageio import SUFFIXES, suffix_of
    from hagan_clinic.runtime import Translator
    from hagan_clinic.runtime.outputs import is_directory, is_folder
    from hagan_clinic.runtime.provenance import model_identity

    given = Given(**chosen)
    cohorts = [path for path in inputs if is_cohort(path)]
    if cohorts and len(inputs) > 1:
        raise click.UsageError(f"{cohorts[0]} is a cohort: give it alone, or the folder of all.")
    scans = [] if cohorts else [*inputs, *by_name.values()]
    from_series = dicom_like is not None or any(map(may_be_series, scans))
    if skip_existing and from_series:
        raise click.UsageError("--skip-existing goes with volume files, not with DICOM.")
    writes_series = from_series and any(
        path is not None and is_folder(path) for path in (output, uncertainty)
    )
    if given and not writes_series:
        raise click.UsageError(f"{given.names()} go with a DICOM series as the output.")
    if series is not None and (not from_series or len(scans) > 1):
        raise click.UsageError("--series goes with one input, which holds DICOM series.")
    options = _Options(
        series,
        dicom_like,
        given.options() if writes_series else None,
        allow_contrast,
        overwrite,
        quiet,
    )
    translator = Translator(model, device, max_memory=max_memory, threads=threads, tf32=tf32)
    wanted = {"uncertainty": uncertainty, "preview": preview, "report": report}
    one_series = len(scans) == 1 and from_series
    many = not one_series and (
        bool(cohorts) or len(inputs) > 1 or is_directory(output) or any(map(is_directory, inputs))
    )
    if by_name or not many:
        # A DICOM series is called by its sequence, as its name may be a patient's.
        called = translator.model.recipe.sources[0] if from_series else ""
        job = TranslationTask(
            by_name or inputs[0], output, uncertainty, preview, report, called, mask=mask
        )
        if skip_existing and is_done(job, translator, overwrite=overwrite):
            if not quiet:
                say(f"kept {output}")
            return
        page = TranslatedPage(html, translator, overwrite=overwrite) if html else None
        with _progress(quiet) as progress:
            translation = _run(translator, job, options, progress, page)
        if page:
            page.write()
        if not quiet:
            _print_one(translator, job, translation, html)
        return

    for option, one in {"mask": mask, "dicom-like": dicom_like}.items():
        if one is not None:
            raise click.UsageError(f"--{option} goes with one input only.")
    for option, place in {"output": output, **wanted}.items():
        if place is not None and suffix_of(place) in (*SUFFIXES, ".png", ".json"):
            raise click.UsageError(f"--{option} {place}: with several inputs, give a folder.")
    recipe = translator.model.recipe
    if cohorts:
        jobs, is_bids = cohort_jobs(cohorts[0], recipe, output, participants=participants, **wanted)
    else:
        jobs, is_bids = many_jobs(inputs, recipe.target, recipe.sources[0], output, **wanted), False
    places = [place for place in (output, *wanted.values()) if place is not None]
    table = output / results_name(participants) if cohorts else None
    with folders(places), _progress(quiet, total=len(jobs)) as progress:
        page = None
        if html:
            page = TranslatedPage(html, translator, len(jobs), output, overwrite=overwrite)
        if is_bids:
            describe_derivative(output, cohorts[0], model_identity(translator.model))
        results = run_all(
            jobs,
            lambda job, done: _run(translator, job, options, progress, page, base=done),
            keep=lambda job: skip_existing and is_done(job, translator, overwrite=overwrite),
            table=table,
        )
        if page:
            page.write()
    if not quiet:
        print_results(translator, results, listed_in=table)
        if page and page.subjects:
            say(f"wrote {html}")
        _print_terms(translator)
    failures = [result for result in results if result.exit_code]
    if failures:
        say(
            f"error: {len(failures)} of {len(results)} failed; the exit code "
            f"{failures[0].exit_code} is that of {failures[0].job.name}",
            err=True,
        )
        context.exit(failures[0].exit_code)


def _by_name(sources: tuple[str, ...]) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for source in sources:
        name, separator, path = source.partition("=")
        if not (name and separator and path) or name in by_name:
            raise click.BadParameter(
                f"{source!r} is not NAME=FILE with a name of its own", param_hint="--source"
            )
        by_name[name] = Path(path)
    return by_name


def _run(
    translator: Translator,
    job: TranslationTask,
    options: _Options,
    progress: Progress,
    page: TranslatedPage | None,
    base: float = 0.0,
) -> Translation:
    task = progress.task_ids[0]
    translation = translator.translate(
        job.source,
        job.output,
        mask=job.mask,
        uncertainty=job.uncertainty,
        preview=job.preview,
        report=job.report,
        series=options.series,
        dicom_like=options.dicom_like,
        series_options=options.series_options,
        notes=job.notes,
        allow_contrast=options.allow_contrast,
        overwrite=options.overwrite,
        progress=lambda stage, share: progress.update(
            task, completed=base + share, description=f"{stage} {printable(job.name)}"
        ),
    )
    if page:
        page.add(job, translation, options.series, allow_contrast=options.allow_contrast)
    return translation


@contextmanager
def _progress(quiet: bool, total: int = 1) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        progress.add_task("", total=total)
        yield progress


def _print_one(
    translator: Translator, job: TranslationTask, translation: Translation, html: Path | None
) -> None:
    for path in (job.output, job.uncertainty, job.preview, job.report, html):
        if path is not None:
            say(f"wrote {path}")
    for warning in translation.report["warnings"]:
        say(f"warning: {warning}", err=True)
    total = translation.report["seconds"]["total"]
    say(f"{translator.model.card.name} on {translator.device.name}, {total:.1f} s")
    _print_terms(translator)


def _print_terms(translator: Translator) -> None:
    from hagan_clinic.runtime.provenance import REMINDER, licence_in_words

    if translator.device.note:
        say(translator.device.note)
    say(f"Weights: {licence_in_words(translator.model.card.licence)}")
    say(REMINDER)
