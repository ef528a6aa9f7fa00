"""``hagan-clinic train``: settings from preset, file and options, then the run."""

from pathlib import Path
from typing import Any

import click

from hagan_clinic.cli.failures import INTERRUPTED
from hagan_clinic.cli.options import cluster_option
from hagan_clinic.cli.printing import note, say
from hagan_clinic.cli.settings import assignment, numbers
from hagan_clinic.progress import is_hidden
from hagan_clinic.training.registry import MODELS

BASELINES = "; ".join(
    f"{mode}: {', '.join(name for name in names if name != 'hagan')}"
    for mode, names in MODELS.items()
)


@click.command(short_help="Train a generator on a cohort.")
@click.option("--mode", type=click.Choice(["conditional", "unconditional"]), help="What to train.")
@click.option(
    "--model",
    help=f"hagan (default), or a baseline: {BASELINES}; or your own, package.module:Class.",
)
@click.option("--data", help="Cohort: a folder (BraTS or BIDS layout) or a CSV file.")
@click.option("--source", multiple=True, help="Sequence to translate from; repeat for several.")
@click.option("--target", help="Sequence to translate to.")
@click.option("--image", help="Sequence to learn to synthesise (unconditional).")
@click.option(
    "--window",
    callback=numbers(float, 2),
    metavar="LOW,HIGH",
    help="Scanner values mapped to -1 and 1, such as -1024,600 for chest CT, 0,80 for a head CT.",
)
@click.option(
    "--size", callback=numbers(int, 1, 3), metavar="N|D,H,W", help="Voxels of the training box."
)
@click.option("--label", help="Column of the CSV that holds a class label (unconditional).")
@click.option("--classes", multiple=True, help="A value of that column; repeat for each class.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Run folder; default runs/MODE, of a baseline runs/MODEL.",
)
@click.option("--preset", help="Named starting point: default, cpu, gpu, tiny.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with a [train] table.")
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any other setting."
)
@click.option("--init", help="Fine-tune from a run folder, a .onnx file or a bundled model's name.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for prepared volumes.")
@click.option("--split", help="CSV of subject and split (train, calibration, test).")
@click.option(
    "--folds",
    type=int,
    metavar="N",
    help="Cross-validate: train and evaluate N folds, and combine.",
)
@click.option("--fold", type=int, metavar="K", help="Only this fold, from 1; needs --folds.")
@cluster_option
@click.option("--mask", help="One brain mask for all subjects.")
@click.option("--seed", type=int, help="Seed of split, weights and samples.")
@click.option("--spacing", type=float, help="Voxel size in mm.")
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--batch-size", type=int, help="Slabs a step, on each device.")
@click.option(
    "--slab",
    type=int,
    help="Slices of a slab, a multiple of 4; unconditional: an eighth of the depth if not given.",
)
@click.option("--halo", type=int, help="Real slices on each side of a slab, a multiple of 4.")
@click.option("--generator-lr", type=float, help="Highest learning rate of the generator.")
@click.option("--no-low-res-branch", is_flag=True, help="Ablation: learn from slabs only.")
@click.option("--no-encoder", is_flag=True, help="Ablation: no E^H and E^G (unconditional).")
@click.option("--deterministic-r", is_flag=True, help="Ablation: slabs in turn (unconditional).")
@click.option(
    "--encoder-loss-to-generator",
    is_flag=True,
    help="Let reconstruction losses train G too; otherwise E cannot influence it (unconditional).",
)
@click.option("--variant", help="paper, released (unconditional) or tuned (baselines).")
@click.option("--recipe", hidden=True, deprecated="Use --variant.")
@click.option(
    "--gradient-checkpointing", is_flag=True, help="Less memory, more time (unconditional)."
)
@click.option("--workers", type=int, help="Processes that read prepared volumes.")
@click.option("--precision", type=click.Choice(["32-true", "bf16-mixed"]), help="Arithmetic.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train.")
@click.option("--devices", type=int, help="GPUs, or CPU processes, on each machine.")
@click.option("--nodes", type=int, help="Machines that share the run folder, each with torchrun.")
@click.option("--validate-every", type=int, help="Steps between validations.")
@click.option("--checkpoint-every", type=int, help="Steps between checkpoints.")
def command(
    output: Path | None,
    preset: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    init: str | None,
    cache: Path | None,
    folds: int | None,
    fold: int | None,
    cluster: str | None,
    no_low_res_branch: bool,
    no_encoder: bool,
    **options: Any,
) -> None:
    """Train a generator, or resume the run in an existing run folder.

    Settings come, later ones overriding earlier ones, from the defaults, --preset, the [train]
    table of hagan-clinic.toml in the working folder, --config, and the options. Ctrl-C saves a
    checkpoint and stops; on the CPU the same command resumes exactly.

    With --folds the run folder holds a run and an evaluation for each fold, and their combination.
    With --cluster its workers take a fold each.
    """
    if fold is not None and folds is None:
        raise click.UsageError("--fold needs --folds: give that too.")
    if cluster and folds is None:
        raise click.UsageError("--cluster gives each worker a fold: give --folds too.")
    from hagan_clinic.training.config import DEFAULTS_FILE
    from hagan_clinic.training.given import check_paths

    # Absent options are None, an unset flag is False and an empty tuple stands for a repeatable
    # one; 0 is a value (and equal to False, so ``in`` would not separate them).
    given = {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and value != ()
    }
    given |= dict(assignment(text) for text in assignments)
    if no_low_res_branch:
        given["low_res_branch"] = False
    if no_encoder:
        given["encoder"] = False
    files = [*([DEFAULTS_FILE] if DEFAULTS_FILE.exists() else []), *([config] if config else [])]
    check_paths(files, given)
    # From here on torch is imported, which takes seconds; Lightning, as long again.
    from hagan_clinic.training.registry import gather_settings

    settings = gather_settings(preset, files, given)
    from hagan_clinic.api.training import run_folder, train
    from hagan_clinic.training.run_folder import LAST, existing

    folder = output or run_folder(settings)
    try:
        if folds is not None:
            from hagan_clinic.api.cross_validation import cross_validate
            from hagan_clinic.cli.evaluate.reporting import report

            found = cross_validate(
                settings,
                folder,
                folds,
                fold,
                cluster=cluster or "",
                init=init,
                cache=cache,
                say=_tell,
            )
            if found is not None:
                report(found, quiet=is_hidden())
        else:
            train(settings, output=folder, init=init, cache=cache, say=_tell)
    except KeyboardInterrupt:
        saved = folds is not None or existing(folder / LAST).exists()
        does = (
            "resumes from its last checkpoint"
            if saved
            else "starts from the beginning, as no step was done"
        )
        say(f"interrupted; the same command {does} in {folder}", err=True)
        raise SystemExit(INTERRUPTED) from None


def _tell(line: str) -> None:
    """A line about the run; of these --quiet leaves the warnings."""
    if is_hidden() and line.startswith("warning: "):
        say(line, err=True)
    else:
        note(line)
