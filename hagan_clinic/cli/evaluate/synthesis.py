"""`hagan-clinic evaluate synthesis`: how much samples are like real volumes."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.evaluate.options import file_options, subset_options
from hagan_clinic.cli.evaluate.reporting import report

_EXAMPLE = """\b
Example:
  hagan-clinic evaluate synthesis runs/mine cohort --features hd-bet -o results
"""
_PATH = click.Path(path_type=Path)


@click.command(
    short_help="Evaluate samples: FID, MMD, diversity, structures, copies.", epilog=_EXAMPLE
)
@click.argument("inputs", nargs=-1, required=True, type=_PATH, metavar="MODEL... COHORT")
@subset_options("test", "calibration", "train", "all")
@click.option(
    "--features", type=click.Choice(["hd-bet", "medicalnet"]), default="medicalnet",
    show_default=True, help="Network whose features FID, MMD and maps use.",
)  # fmt: skip
@click.option(
    "--feature-weights", type=_PATH, help="MedicalNet's resnet_50.pth.  [default: random weights]"
)
@click.option(
    "-n", "--count", type=click.IntRange(min=2),
    help="Samples of each model.  [default: as many as real volumes, at most 1024]",
)  # fmt: skip
@click.option(
    "--image", default="t1", show_default=True, help="Sequence, if only folders are given."
)
@click.option(
    "--size", "sides", type=click.IntRange(min=16), multiple=True, metavar="N",
    help="Depth to compare at, other sides in proportion; repeatable.  [default: the models']",
)  # fmt: skip
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option(
    "--pairs", type=click.IntRange(min=1), default=100, show_default=True, help="For MS-SSIM."
)
@click.option(
    "--panel", type=click.IntRange(min=0), default=4, show_default=True, help="Volumes to show."
)
@click.option(
    "--segmenter", metavar="CMD",
    help="Command that is run as CMD IMAGE LABELS, for volumes of structures.  [default: of "
    "stripped T1 brains, by brightness]",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--cache", type=_PATH, help="Folder of features.  [default: OUTPUT/features]")
@file_options
def command(
    inputs: tuple[Path, ...],
    output: Path,
    features: str,
    feature_weights: Path | None,
    count: int | None,
    split_file: Path | None,
    subset: str,
    image: str,
    mask: Path | None,
    sides: tuple[int, ...],
    folds: int,
    pairs: int,
    panel: int,
    segmenter: str | None,
    seed: int,
    cache: Path | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Compare samples of each MODEL with the real volumes of COHORT.

    A MODEL is the folder of an unconditional run, an exported generator, the bundled `brain`, or a
    folder of volumes on 0 to 1 made by any tool. Volumes are made and read one at a time. Features
    are cached by the content of the volume, so a second call computes only what is new. If the
    split is known, samples are also compared with the training volumes, to find copies.
    """
    *given, cohort = inputs
    if not given:
        raise click.UsageError("Give one MODEL or more before COHORT.")
    from hagan_clinic.api.synthesis_evaluation import evaluate_generators

    evaluated = evaluate_generators(
        given,
        cohort,
        output,
        split=split_file,
        subset=subset,
        mask=mask,
        features=features,
        feature_weights=feature_weights,
        count=count,
        image=image,
        depths=sides,
        folds=folds,
        pairs=pairs,
        panel=panel,
        segmenter=segmenter,
        seed=seed,
        cache=cache,
        device=device,
        overwrite=overwrite,
        quiet=quiet,
    )
    report(evaluated, quiet=quiet)
