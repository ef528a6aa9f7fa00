"""`hagan-clinic evaluate translation`: translations beside reference baselines and an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hagan_clinic.cli.evaluate.options import file_options, subset_options
from hagan_clinic.cli.evaluate.reporting import Files, show
from hagan_clinic.cli.printing import say
from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    from hagan_clinic.evaluation.predictors import Predictor
    from hagan_clinic.evaluation.translation import Evaluation

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
    help="Translate the whole head, the brain alone, or both.",
)
@click.option("--source", default="t1", show_default=True, help="Without MODEL: source to copy.")
@click.option("--target", default="flair", show_default=True, help="Without MODEL: target.")
@click.option(
    "--labels",
    "label_folders",
    multiple=True,
    metavar="NAME=FOLDER",
    help="Label maps to take Dice of, of a model's name or of `reference` (default: seg).",
)
@click.option(
    "--worst", type=click.IntRange(min=0), default=3, show_default=True, help="Subjects to draw."
)
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
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Evaluate MODELs on the test patients of COHORT, beside reference baselines.

    A MODEL is a bundled model's name, a .onnx file, the folder of a conditional run, or a folder
    of volumes that any tool has made. Reference baselines (a constant, the source copied, a curve
    fitted on the training patients) are always evaluated too, and alone without a MODEL.
    """
    *given, cohort = inputs
    from hagan_clinic.evaluation.cases import check_cases
    from hagan_clinic.evaluation.labels import check_labels, dice_of_cohort
    from hagan_clinic.evaluation.predictors import Models, Volumes
    from hagan_clinic.evaluation.subsets import find_subsets, is_run, seen_in_training
    from hagan_clinic.evaluation.translation import evaluate_translation
    from hagan_clinic.evaluation.translation_report import TranslationReport, file_names
    from hagan_clinic.evaluation.worst import Worst
    from hagan_clinic.progress import counted

    folders = _folders(label_folders)
    runs = [Path(one) for one in given if is_run(Path(one))]
    with Models(given, device) as models:
        sources = list(dict.fromkeys(s for model in models for s in model.sources)) or [source]
        target = _target(models, target)
        subsets = find_subsets(
            Path(cohort), sources, target, mask, split=split_file, subset=subset, runs=runs
        )
        forms = _forms(check_cases([*subsets.training, *subsets.evaluated]), form)
        if len(forms) > 1 and any(isinstance(model, Volumes) for model in models):
            raise InputError(
                "a folder of volumes was made of whole heads or of brains: give --form head or "
                "--form stripped, by what it was"
            )
        names = file_names(models, forms, worst=worst > 0, dice=bool(folders))
        files = Files(output, names, overwrite=overwrite)
        dice = dice_of_cohort(folders, [model.name for model in models], subsets.evaluated)
        warnings = [*seen_in_training(runs, subsets.evaluated), *check_labels(dice)]
        pictures = Worst(worst, target)
        total = len(subsets.training) + len(subsets.evaluated)
        with counted("evaluating", total, quiet=quiet) as step:
            found = evaluate_translation(
                models, subsets.training, subsets.evaluated, sources, target, forms,
                step=step, show=pictures.show if worst else lambda *_: None,
            )  # fmt: skip
        facts = {"side": subset, "models": {model.name: model.facts for model in models}}
    warnings += found.warnings
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    report = TranslationReport(
        found, sources[0], subsets.evaluated, dice, pictures, warnings, facts
    )
    files.write(report.writers())
    if not quiet:
        show(report.tables(brief=True))
        say(f"\nwrote {output}: {', '.join(names)}")
        say(_time(found, len(subsets.evaluated) * len(forms)))


def _time(found: Evaluation, count: int) -> str:
    """What a subject took, in one form."""
    in_models = sum(found.seconds.get(name, 0.0) for name in found.models) / count
    beside = (found.seconds["reading"] + found.seconds["metrics"]) / count
    return f"a subject in one form took {in_models:.1f} s in the models and {beside:.2f} s beside"


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


def _target(models: Sequence[Predictor], default: str) -> str:
    """What all models predict."""
    targets = {model.name: model.target for model in models if model.target}
    if len(set(targets.values())) > 1:
        found = ", ".join(f"{name} {target}" for name, target in targets.items())
        raise InputError(f"the models predict different sequences: {found}; evaluate each apart")
    return next(iter(targets.values()), default)


def _forms(possible: Sequence[str], wanted: str) -> tuple[str, ...]:
    """The forms to translate, of those that the cohort has."""
    if wanted == "both" or len(possible) == 1:
        return tuple(possible)
    return (wanted,)
