"""`hagan-clinic evaluate encoding`: what latents keep of scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from hagan_clinic.cli.evaluate.options import file_options, subset_options
from hagan_clinic.cli.evaluate.reporting import Files, show
from hagan_clinic.cli.printing import say
from hagan_clinic.errors import InputError, ModelError

if TYPE_CHECKING:
    from hagan_clinic.data.subject import Subject
    from hagan_clinic.evaluation.reconstruction import Pair

PARTS = ("generator.onnx", "encoder.onnx")

_EXAMPLE = """\b
Examples:
  hagan-clinic evaluate encoding runs/unconditional cohort --split split.csv -o results
  hagan-clinic evaluate encoding runs/a runs/b cohort.csv -o results --measurements volumes.csv
"""
_PATH = click.Path(path_type=Path)


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
    help="Column of it; repeat.  [default: all]",
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
    panel: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Encode scans of COHORT with each MODEL, reconstruct them, and measure the loss.

    A MODEL is the folder of an unconditional run, or one that holds its exported generator.onnx
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
    from hagan_clinic.evaluation.cases import check_cases
    from hagan_clinic.evaluation.encoding_report import EncodingReport, file_names
    from hagan_clinic.evaluation.latent_regression import (
        explainable,
        explained,
        read_measurements,
    )
    from hagan_clinic.evaluation.reconstruction import evaluate_encoding
    from hagan_clinic.evaluation.segmenter import Segmenter
    from hagan_clinic.evaluation.subsets import (
        check_comparable,
        find_evaluated,
        find_subsets,
        is_run,
        seen_in_training,
    )
    from hagan_clinic.progress import counted

    models = [_pair(path, device) for path in given]
    runs = [path for path in given if is_run(path)]
    if len({model.name for model in models}) < len(models):
        raise InputError("two models have one name: rename a folder")
    check_comparable({model.name: model.encoder.facts for model in models}, one_size=True)
    images = models[0].encoder.facts.recipe.sources
    if measurements is None:
        training: tuple[Subject, ...] = ()
        evaluated = find_evaluated(cohort, images, mask, split=split_file, subset=subset, runs=runs)
    else:
        subsets = find_subsets(
            cohort, images, None, mask, split=split_file, subset=subset, runs=runs
        )
        training, evaluated = subsets.training, subsets.evaluated
    check_cases([*training, *evaluated])
    fitted, held_out = ([subject.name for subject in part] for part in (training, evaluated))
    warnings = seen_in_training(runs, evaluated)
    values: Mapping[str, Mapping[str, float]] = {}
    if measurements is not None:
        read = read_measurements(measurements, [*fitted, *held_out], measures)
        values, left_out = explainable(read, fitted, held_out)
        warnings += left_out
    encoded = training if values else ()
    names = file_names(dice=segmenter is not None, regression=bool(values), panel=panel > 0)
    files = Files(output, names, overwrite=overwrite)
    with (
        TemporaryDirectory(prefix="hagan-clinic-") as scratch,
        counted("evaluating", len(encoded) + len(evaluated), quiet=quiet) as step,
    ):
        found = evaluate_encoding(
            models, evaluated, also_encoded=encoded, panel=panel, step=step,
            segmenter=None if segmenter is None else Segmenter(segmenter, Path(scratch)),
        )  # fmt: skip
    lines = [
        explained(
            model.name, column, found.latents[model.name], of_subject, fitted, held_out
        )
        for model in models
        for column, of_subject in values.items()
    ]  # fmt: skip
    warnings += found.warnings
    facts = {"models": {model.name: model.encoder.identity for model in models}}
    report = EncodingReport(found, evaluated, lines, warnings, facts)
    files.write(report.writers())
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    if not quiet:
        show(report.tables())
        say(f"\nwrote {output}: {', '.join(names)}")


def _pair(path: Path, device: str) -> Pair:
    """Generator and encoder of a run, or of its exported parts in a folder."""
    from hagan_clinic.api.models import load_encoder, load_generator
    from hagan_clinic.evaluation.reconstruction import Pair
    from hagan_clinic.evaluation.subsets import is_run

    if is_run(path):
        return Pair(path.resolve().name, load_generator(path, device), load_encoder(path, device))
    if not all((path / part).is_file() for part in PARTS):
        raise ModelError(
            f"{path}: neither a run folder nor a folder of {' and '.join(PARTS)}; export both "
            "parts into one folder"
        )
    generator, encoder = (
        load_generator(path / PARTS[0], device),
        load_encoder(path / PARTS[1], device),
    )
    if generator.identity != encoder.identity:
        raise ModelError(f"{path}: generator and encoder are of two trainings; export both anew")
    return Pair(path.resolve().name, generator, encoder)
