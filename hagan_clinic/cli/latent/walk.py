"""`hagan-clinic latent walk`: synthetic volumes along a direction."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.latent.making import class_of, made, making_options, one_latent
from hagan_clinic.cli.printing import say

if TYPE_CHECKING:
    from hagan_clinic.runtime.exploration import LabelVolumes, Marking, Measure
    from hagan_clinic.runtime.synthesis import Generator
    from hagan_clinic.volume import Grid

_PATH = click.Path(path_type=Path)


@click.command(short_help="Make volumes along a direction.")
@click.argument("model", type=_PATH)
@click.argument("direction", type=_PATH)
@click.option("--from", "start", metavar="LATENTS:SUBJECT", help="Start from an encoded subject.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Start from a latent of this seed.  [default: 0]"
)
@click.option(
    "--to",
    "target",
    type=float,
    help="Predicted value to reach.  [default: the farther of mean ± 2 standard deviations]",
)
@click.option(
    "--measure-by",
    type=click.Choice(["threshold-volume", "mask-mean", "emphysema", "tissues"]),
    help="Measure each volume: ml brighter than --threshold, mean in --mask, or, for CT, "
    "% of the lung below -950 HU, or ml of fat and bone.",
)
@click.option("--threshold", type=float, help="For threshold-volume, on 0 to 1.  [default: 0.3]")
@click.option("--mask", type=_PATH, help="For mask-mean: a mask or label map on the model's grid.")
@click.option("--mask-label", type=int, help="The label of --mask that counts.  [default: all]")
@click.option(
    "--segmenter",
    metavar="CMD",
    help="Command that is run as CMD IMAGE LABELS, for ml of each label; needs [train].",
)
@making_options
def command(
    model: Path,
    direction: Path,
    start: str | None,
    seed: int | None,
    target: float | None,
    measure_by: str | None,
    threshold: float | None,
    mask: Path | None,
    mask_label: int | None,
    segmenter: str | None,
    steps: int,
    chosen: str | None,
    **options: Any,
) -> None:
    """Make synthetic volumes along DIRECTION (of `latent fit`) with the generator MODEL.

    It goes from an encoded or random latent the shortest way to the predicted value --to. Writes a
    series of NIfTI files, a montage, an animated GIF and a table with the predicted and the
    measured value of each step. The labels of --segmenter, emphysema or tissues are drawn in the
    pictures.
    """
    if start is not None and seed is not None:
        raise click.UsageError("Give --from or --seed, not both.")
    _check_measure_options(measure_by, threshold, mask, mask_label)
    if segmenter is not None and measure_by in ("emphysema", "tissues"):
        raise click.UsageError(
            f"--segmenter and --measure-by {measure_by} both draw labels: give one of them."
        )
    from hagan_clinic.api.generators import load_generator
    from hagan_clinic.runtime.exploration import read_direction, straight_path
    from hagan_clinic.runtime.exploration.series import VolumeSeries
    from hagan_clinic.runtime.latents import draw_latents

    along = read_direction(direction)
    generator = load_generator(model, options["device"])
    along.check_fits(generator.identity, generator.latent)
    measure = _measure(generator.grid, measure_by, threshold, mask, mask_label)
    by_hu = _marking(measure_by, generator)
    if start is None:
        first, label = draw_latents(1, generator.latent, seed or 0)[0], ""
        origin = f"seed {seed or 0}"
    else:
        first, label, origin = one_latent(start, generator)
    predicted = float(along.predict(first[None])[0])
    if target is None:
        side = 1 if predicted <= along.mean else -1
        target = along.mean + 2 * side * along.std
    path = straight_path(first, along, target, steps)
    values = along.predict(path)
    series = VolumeSeries(
        name="walk",
        title=f"{along.measure} from {values[0]:.4g} to {values[-1]:.4g}, {origin}",
        latents=path,
        column="predicted",
        values=values,
        captions=[f"predicted {along.measure}: {value:.4g}" for value in values],
        label=class_of(generator, chosen, label),
        sources={"start": origin, "direction": along.measure, "r2": along.r2},
    )
    with _segmenting(segmenter, generator.grid) as labelling:
        marking = labelling or by_hu
        measured = made(series, generator, measure, marking, **options)
    if along.means_nothing:
        say(f"warning: the direction's held-out R² is {along.r2:.3f}: it means nothing", err=True)
    if abs(target - along.mean) > 3 * along.std:
        say(
            f"warning: {target:.4g} lies more than three standard deviations from the mean of the "
            f"subjects ({along.mean:.4g} ± {along.std:.2g}): the fit is not based on such values",
            err=True,
        )
    if measure is not None and not options["quiet"]:
        reached = f"{measured[0]:.4g} to {measured[-1]:.4g} {measure.unit}".rstrip()
        say(
            f"predicted {along.measure} {values[0]:.4g} to {values[-1]:.4g}; measured "
            f"{measure.name} {reached}"
        )
    if marking is not None and not options["quiet"]:
        _show(options["output"] / f"{series.name}.csv")


def _check_measure_options(
    measure_by: str | None, threshold: float | None, mask: Path | None, label: int | None
) -> None:
    if threshold is not None and measure_by != "threshold-volume":
        raise click.UsageError("--threshold goes with --measure-by threshold-volume.")
    if (mask is not None or label is not None) and measure_by != "mask-mean":
        raise click.UsageError("--mask and --mask-label go with --measure-by mask-mean.")
    if measure_by == "mask-mean" and mask is None:
        raise click.UsageError("--measure-by mask-mean needs --mask FILE.")


def _measure(
    grid: Grid, by: str | None, threshold: float | None, mask: Path | None, label: int | None
) -> Measure | None:
    from hagan_clinic.runtime.exploration.measures import THRESHOLD, MaskMean, ThresholdVolume

    if mask is not None:
        return MaskMean.read(mask, grid, label)
    if by == "threshold-volume":
        return ThresholdVolume(THRESHOLD if threshold is None else threshold, grid.spacing)
    return None


def _marking(by: str | None, generator: Generator) -> Marking | None:
    """What marks a CT by thresholds in HU."""
    from hagan_clinic.runtime.exploration import EmphysemaShare, TissueVolumes

    window, spacing = generator.facts.recipe.window, generator.grid.spacing
    if by == "emphysema":
        return EmphysemaShare(window, spacing)
    return TissueVolumes(window, spacing) if by == "tissues" else None


@contextmanager
def _segmenting(command: str | None, grid: Grid) -> Iterator[LabelVolumes | None]:
    """What runs a segmenter on volumes of a grid, with a folder for its files."""
    if command is None:
        yield None
        return
    from hagan_clinic.evaluation.segmenter import Segmenter
    from hagan_clinic.runtime.exploration import LabelVolumes

    with TemporaryDirectory(prefix="hagan-clinic-") as scratch:
        segment = partial(Segmenter(command, Path(scratch)), grid=grid, synthetic=True)
        yield LabelVolumes(segment, grid.spacing)


def _show(table: Path) -> None:
    """Print a table, a row for each step, without the names of files."""
    with table.open(newline="") as lines:
        rows = [[cell or "-" for cell in [row[0], *row[2:]]] for row in csv.reader(lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(map(str.rjust, row, widths)))
