"""`hagan-clinic evaluate encoding`: what latents keep of scans."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.evaluate.options import file_options, subset_options
from hagan_clinic.cli.evaluate.reporting import report

_EXAMPLE = """\b
Examples:
  hagan-clinic evaluate encoding runs/unconditional cohort --split split.csv -o results
  hagan-clinic evaluate encoding runs/a runs/b cohort.csv -o results --measurements volumes.csv
"""
_PATH = click.Path(path_type=Path)


def _counts(_: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    parts = [] if text == "none" else text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r}: expected numbers such as 0,1,8, or none", param=option)
    return tuple(sorted({int(part) for part in parts}))


@click.command(
    short_help="Evaluate encoders: reconstruction, structures, measurements.", epilog=_EXAMPLE
)
@click.argument("inputs", nargs=-1, required=True, type=_PATH, metavar="MODEL... COHORT")
@subset_options("test", "calibration", "train", "all")
@click.option(
    "--segmenter",
    metavar="CMD",
    help="Command that is run as CMD IMAGE LABELS, for Dice of structures.",
)
@click.option(
    "--measurements", type=_PATH, help="CSV of subject and measurements, to explain by latents."
)
@click.option(
    "--measure", "measures", multiple=True, metavar="COLUMN",
    help="Column of that CSV; repeat for several.  [default: all]",
)  # fmt: skip
@click.option(
    "--components", default="0,1,8", show_default=True, callback=_counts, metavar="N,...",
    help="Principal components of the training scans as reference baselines; 0 is their mean; "
    "none leaves them out.",
)  # fmt: skip
@click.option(
    "--panel", type=click.IntRange(min=0), default=4, show_default=True, help="Subjects to show."
)
@file_options
def command(
    inputs: tuple[Path, ...],
    output: Path,
    split_file: Path | None,
    subset: str,
    mask: Path | None,
    segmenter: str | None,
    measurements: Path | None,
    measures: tuple[str, ...],
    components: tuple[int, ...],
    panel: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Encode scans of COHORT with each MODEL, reconstruct them, and measure the loss.

    A MODEL is the folder of an unconditional run, or a folder with its exported generator.onnx
    and encoder.onnx. With --measurements, ridge regression on the training patients' latents
    shows how much of each measurement the latents of held-out patients explain.
    """
    *given, cohort = inputs
    if not given:
        raise click.UsageError("Give one MODEL or more before COHORT.")
    if measures and measurements is None:
        raise click.UsageError("--measure names a column of --measurements: give that too.")
    if subset == "all" and measurements is not None:
        raise click.UsageError("--measurements needs patients held out: give another --subset.")
    from hagan_clinic.api.encoding_evaluation import evaluate_encoders

    evaluated = evaluate_encoders(
        given,
        cohort,
        output,
        split=split_file,
        subset=subset,
        mask=mask,
        segmenter=segmenter,
        measurements=measurements,
        measures=measures,
        components=components,
        panel=panel,
        device=device,
        overwrite=overwrite,
        quiet=quiet,
    )
    report(evaluated, quiet=quiet)
