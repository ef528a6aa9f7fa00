"""`hagan-clinic evaluate cost`: parameters, memory and speed of training, on this machine."""

from __future__ import annotations

import platform
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from hagan_clinic.cli.evaluate.options import file_options, output_option
from hagan_clinic.cli.evaluate.reporting import show
from hagan_clinic.cli.printing import say
from hagan_clinic.cli.settings import assignment, numbers

SIZES = ("32", "64", "128", "256")
FRACTIONS = ("1/8", "1/4", "1/2")

_EXAMPLE = """\b
Examples:
  hagan-clinic evaluate cost -o results
  hagan-clinic evaluate cost --mode conditional --size 112,128,112 --slab-fraction 1/4 -o results
  hagan-clinic evaluate cost --model wgan-gp --size 64 -o results
  hagan-clinic evaluate cost --counted --size 512 --slab-fraction 1/16 --set levels=2 -o results
"""


@click.command(short_help="Measure parameters, memory and speed of training.", epilog=_EXAMPLE)
@output_option
@click.option(
    "--mode",
    type=click.Choice(["conditional", "unconditional"]),
    default="unconditional",
    show_default=True,
    help="What to train.",
)
@click.option(
    "--model", default="hagan", show_default=True, help="Which model: hagan, or a baseline."
)
@click.option(
    "--size", "sizes", multiple=True, metavar="N|D,H,W",
    help="Training box; repeat.  [default: 32, 64, 128, 256]",
)  # fmt: skip
@click.option(
    "--slab-fraction", "fractions", multiple=True, metavar="F",
    help="Slab thickness by depth, as 1/8; repeat for several. The largest box is measured with"
    " each, the others with the first; models of whole volumes or patches have none."
    "  [default: 1/8, 1/4, 1/2]",
)  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Steps to time; more if a model trains a part of itself only every nth step.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting of train."
)
@click.option(
    "--counted",
    is_flag=True,
    help="Count what is alive in a step of the unconditional hagan instead of doing it: any size"
    " takes seconds and no memory.",
)
@click.option("--cores", type=click.IntRange(min=1), help="CPU cores to use.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@file_options
def command(
    output: Path,
    mode: str,
    model: str,
    sizes: tuple[str, ...],
    fractions: tuple[str, ...],
    batch_size: int,
    steps: int,
    assignments: tuple[str, ...],
    counted: bool,
    cores: int | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Measure a few training steps on random volumes of each size, each in a new process.

    The paper's values are shown for its sizes. A size that does not fit in memory is marked
    in its row, and the others continue.
    """
    from hagan_clinic import __version__
    from hagan_clinic.api.evaluated import ReportFiles
    from hagan_clinic.api.generators import torch_device
    from hagan_clinic.evaluation.cost import configurations_of, cost_csv, cost_table, evaluate_cost
    from hagan_clinic.evaluation.tables import document
    from hagan_clinic.progress import counted as bar

    parts = [_fraction(text) for text in fractions or FRACTIONS]
    read = numbers(int, 1, 3)
    context = click.get_current_context()
    boxes = [read(context, context.command.params[0], text) for text in sizes or SIZES]
    settings: dict[str, Any] = {"mode": mode, "model": model, "batch_size": batch_size}
    settings |= dict(assignment(text) for text in assignments)
    configurations = configurations_of(settings, boxes, parts)
    place = "none" if counted else str(torch_device(device))
    files = ReportFiles(output, ["cost.md", "cost.csv"], overwrite=overwrite)
    with bar("measuring", len(configurations), quiet=quiet) as step:
        costs = evaluate_cost(settings, configurations, place, steps=steps, cores=cores, step=step)
    table = cost_table(costs, settings["mode"], settings["model"], place)
    opening = f"hagan-clinic {__version__} on {_machine(place)}."
    files.write({"cost.md": document("Cost", opening, [table]), "cost.csv": cost_csv(costs)})
    if not quiet:
        show([table])
        say(f"\nwrote {output}: cost.md, cost.csv")


def _fraction(text: str) -> Fraction:
    try:
        fraction = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fraction = Fraction(0)
    if not 0 < fraction <= 1:
        raise click.BadParameter(
            f"{text!r}: expected a fraction of the depth, as 1/8", param_hint="--slab-fraction"
        )
    return fraction


def _machine(place: str) -> str:
    """What it was measured on, for people."""
    import os

    import torch

    if place == "cuda":
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), PyTorch {torch.__version__}"
