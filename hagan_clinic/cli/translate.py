"""`hagan-clinic translate`: one scan, several, or a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hagan_clinic.cli.options import cluster_option, device_option
from hagan_clinic.cli.series_options import series_options

_EXAMPLE = """\b
Examples:
  hagan-clinic translate t1.nii.gz -o flair.nii.gz --preview flair.png
  hagan-clinic translate series/ -o flair_series/ --burn-in
  hagan-clinic translate series/ -o flair.nii.gz
  hagan-clinic translate bids/ -o synthetic/ --uncertainty synthetic/ --skip-existing
"""
# Whether a scan can be read is found when its turn comes, so that the others go on.
_PATH = click.Path(path_type=Path, readable=False)


@click.command(epilog=_EXAMPLE)
@click.argument("inputs", nargs=-1, type=_PATH)
@click.option(
    "-i",
    "--input",
    "named_inputs",
    multiple=True,
    type=_PATH,
    help="The same as INPUTS; repeat for several.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=_PATH,
    help="File; for a DICOM series a folder; with several inputs a folder.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=FILE",
    help="A scan by its sequence, for models with several sources: --source t1=… --source t2=…",
)
@click.option("--mask", type=_PATH, help="Brain mask on the scan's grid, for scaling and centring.")
@click.option(
    "--uncertainty", type=_PATH, help="Where to write the half-width of the 90 % interval."
)
@click.option("--preview", type=_PATH, help="Where to write a picture (.png).")
@click.option("--report", type=_PATH, help="Where to write the facts of the run (.json).")
@click.option("--html", type=_PATH, help="Where to write a page to review the results (.html).")
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
@cluster_option
@click.option("--tf32", is_flag=True, help="Let CUDA use TensorFloat-32: faster, less exact.")
@click.option("--series", metavar="UID", help="The DICOM series to take (see `inspect`).")
@click.option(
    "--dicom-like",
    type=_PATH,
    help="The DICOM series that a volume file was converted from: writes a series like it.",
)
@series_options
@click.option("--allow-contrast", is_flag=True, help="Accept scans that look contrast-enhanced.")
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Keep results that this model made of exactly these scans.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def command(
    context: click.Context,
    /,
    inputs: tuple[Path, ...],
    named_inputs: tuple[Path, ...],
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
    cluster: str | None,
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
    Results lie in folders like the scans, for BIDS as a derivative data set, with a results.csv. In
    a folder of DICOM each examination gives a series.

    With several INPUTS, a folder of volume files, or -o naming a folder, every output option names
    a folder and files are named after the scans. In a folder, the scans named like the source (t1,
    T1w, t1n) are taken, or all if none is. Results of DICOM series, each in its own folder or zip,
    are numbered. One failure does not stop the others; the exit code is then that of the first
    failure.
    """
    by_name = _by_name(sources)
    inputs = (*inputs, *named_inputs)
    if bool(inputs) == bool(by_name):
        raise click.UsageError("Give INPUTS or --source NAME=FILE, one of the two.")

    # Imported here, so that --help is quick.
    from hagan_clinic.cli.batch import TranslationTask, many_jobs, may_be_series
    from hagan_clinic.cli.batch_run import run_batch
    from hagan_clinic.cli.cohort_jobs import cohort_jobs, is_cohort
    from hagan_clinic.cli.derivative import describe_derivative, linked
    from hagan_clinic.cli.dicom_jobs import dicom_jobs, studies_of_tree
    from hagan_clinic.cli.one_translation import Settings, folders, perform
    from hagan_clinic.cli.results_printing import print_one, progress_bar, reporter
    from hagan_clinic.cli.results_table import NAME as TABLE
    from hagan_clinic.cli.series_options import Given
    from hagan_clinic.cli.translated_page import write_results_page
    from hagan_clinic.imageio import SUFFIXES, suffix_of
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.runtime import Translator
    from hagan_clinic.runtime.outputs import is_directory, is_folder
    from hagan_clinic.runtime.page import PAGE_SUFFIXES, room_for
    from hagan_clinic.runtime.provenance import model_identity

    given = Given(**chosen)
    cohorts = [path for path in inputs if is_cohort(path)]
    if cohorts and len(inputs) > 1:
        raise click.UsageError(f"{cohorts[0]} is a cohort: give it alone, or the folder of all.")
    scans = [] if cohorts else [*inputs, *by_name.values()]
    # Into a file goes one examination, and --series names the one of several.
    may_be_tree = not cohorts and len(inputs) == 1 and series is None and is_folder(output)
    studies = studies_of_tree(inputs[0]) if may_be_tree else []
    from_series = dicom_like is not None or any(map(may_be_series, scans))
    if skip_existing and dicom_like is not None:
        raise click.UsageError("--skip-existing does not go with --dicom-like.")
    writes_series = from_series and any(
        path is not None and is_folder(path) for path in (output, uncertainty)
    )
    if given and not writes_series:
        raise click.UsageError(f"{given.names()} go with a DICOM series as the output.")
    if series is not None and (not from_series or len(scans) > 1):
        raise click.UsageError("--series goes with one input, which holds DICOM series.")
    settings = Settings(
        series=series,
        dicom_like=dicom_like,
        series_options=given.options() if writes_series else None,
        allow_contrast=allow_contrast,
        skip_existing=skip_existing,
        overwrite=overwrite,
        page_room=room_for(1) if html else None,
    )
    # With a cluster the network runs in its workers, and here may be no GPU.
    here = "cpu" if cluster else device
    translator = Translator(
        model, here, max_memory=max_memory, threads=threads, tf32=tf32 and not cluster
    )
    wanted = {"uncertainty": uncertainty, "preview": preview, "report": report}
    one_series = len(scans) == 1 and from_series and not studies
    many = not one_series and (
        bool(cohorts) or len(inputs) > 1 or is_directory(output) or any(map(is_directory, inputs))
    )
    if by_name or not many:
        if cluster:
            raise click.UsageError("--cluster goes with a cohort, or with several scans.")
        # A DICOM series is called by its sequence, as its name may be a patient's.
        called = translator.model.recipe.sources[0] if from_series else ""
        job = TranslationTask(
            by_name or inputs[0], output, uncertainty, preview, report, called, mask=mask
        )
        if html:
            check_output(html, overwrite=overwrite, suffixes=PAGE_SUFFIXES)
        with progress_bar(quiet) as progress:
            result = perform(job, translator, settings, reporter(progress, job))
        if html:
            write_results_page([result], html, translator)
        if not quiet:
            print_one(translator, result, html)
        return

    for option, one in {"mask": mask, "dicom-like": dicom_like}.items():
        if one is not None:
            raise click.UsageError(f"--{option} goes with one input only.")
    for option, place in {"output": output, **wanted}.items():
        if place is not None and suffix_of(place) in (*SUFFIXES, ".png", ".json"):
            raise click.UsageError(f"--{option} {place}: with several inputs, give a folder.")
    recipe, is_bids = translator.model.recipe, False
    if cohorts:
        jobs, is_bids = cohort_jobs(cohorts[0], recipe, output, participants=participants, **wanted)
    elif studies:
        jobs = dicom_jobs(
            inputs[0], studies, recipe, output, allow_contrast=allow_contrast, **wanted
        )
    else:
        jobs = many_jobs(inputs, recipe.target, recipe.sources[0], output, **wanted)
    places = [place for place in (output, *wanted.values()) if place is not None]
    table = output / TABLE if cohorts or len(jobs) > 1 else None
    with folders(places):
        if is_bids:
            link = describe_derivative(output, cohorts[0], model_identity(translator.model))
            jobs = [linked(job, cohorts[0], link) for job in jobs]
        workers = None
        if cluster:
            from hagan_clinic.cli.cluster_batch import Cluster

            workers = Cluster(cluster, device, max_memory, threads, tf32), model
        code = run_batch(
            jobs, translator, settings, table=table, html=html, quiet=quiet, cluster=workers
        )
    context.exit(code)


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
