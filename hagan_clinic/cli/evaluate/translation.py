"""`hagan-clinic evaluate translation`: translations beside reference baselines and an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hagan_clinic.cli.evaluate.options import file_options, subset_options
from hagan_clinic.cli.evaluate.reporting import report
from hagan_clinic.cli.options import cluster_option
from hagan_clinic.cli.printing import say

_EXAMPLE = """\b
Examples:
  hagan-clinic evaluate translation t1_to_flair cohort --split split.csv -o results
  hagan-clinic evaluate translation t1_to_flair runs/mine other.onnx cohort.csv -o results
"""
_PATH = click.Path(path_type=Path)


@click.command(
    short_help="Evaluate translations of patients that the models never saw.", epilog=_EXAMPLE
)
@click.argument("inputs", nargs=-1, required=True, metavar="[MODEL]... COHORT")
@subset_options("test", "calibration", "train")
@click.option(
    "--form",
    "form",
    type=click.Choice(["both", "head", "stripped"]),
    default="both",
    show_default=True,
    help="Translate the whole head, only the brain, or both.",
)
@click.option("--source", default="t1", show_default=True, help="Without MODEL: source to copy.")
@click.option("--target", default="flair", show_default=True, help="Without MODEL: target.")
@click.option(
    "--labels",
    "label_folders",
    multiple=True,
    metavar="NAME=FOLDER",
    help="Label maps for Dice, by a model's name or `reference` (default: seg).",
)
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many of the worst subjects to draw.",
)
@click.option("--html", type=_PATH, help="Where to write a page to review all predictions (.html).")
@cluster_option
@file_options
def command(
    inputs: tuple[str, ...],
    output: Path,
    split_file: Path | None,
    subset: str,
    form: str,
    mask: Path | None,
    source: str,
    target: str,
    label_folders: tuple[str, ...],
    worst: int,
    html: Path | None,
    device: str,
    cluster: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Evaluate MODELs on the test patients of COHORT, beside reference baselines.

    A MODEL is a bundled model's name, a .onnx file, the folder of a conditional run, or a folder
    of volumes made by any tool. Reference baselines (a constant, the source copied, a curve
    fitted on the training patients) are always evaluated too, and without a MODEL only these.
    """
    *given, cohort = inputs
    from hagan_clinic.api.translation_evaluation import evaluate_translators

    evaluated = evaluate_translators(
        given,
        Path(cohort),
        output,
        split=split_file,
        subset=subset,
        mask=mask,
        form=form,
        source=source,
        target=target,
        labels=_folders(label_folders),
        worst=worst,
        html=html,
        device=device,
        cluster=cluster or "",
        overwrite=overwrite,
        quiet=quiet,
        say=lambda line: None if quiet else say(line, err=True),
    )
    report(evaluated, quiet=quiet)
    if html is not None and not quiet:
        say(f"wrote {html}")


def _folders(given: Sequence[str]) -> dict[str, Path]:
    """Name -> folder of --labels."""
    folders = {}
    for text in given:
        name, separator, folder = text.partition("=")
        if not (separator and name and Path(folder).is_dir()):
            raise click.BadParameter(
                f"{text!r} is not NAME=FOLDER with a folder that exists", param_hint="--labels"
            )
        folders[name] = Path(folder)
    return folders
