"""``hagan-clinic summary``: parts, layers, parameters and memory of a model, before training it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.printing import say, show_table
from hagan_clinic.cli.settings import assignment, numbers

if TYPE_CHECKING:
    from rich.text import Text

    from hagan_clinic.training.summary import PartSummary

MIB = 2**20


@click.command(short_help="Show a model's parts, layers, parameters and memory.")
@click.option("--mode", type=click.Choice(["conditional", "unconditional"]), help="What to train.")
@click.option("--model", help="hagan, or a baseline of the mode.")
@click.option(
    "--size", callback=numbers(int, 1, 3), metavar="N|D,H,W", help="Voxels of the training box."
)
@click.option("--slab", type=int, help="Slices of a slab, a multiple of 4.")
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any other setting of train."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(assignments: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Show what train would train: every part's layers, output shapes, parameters and memory.

    Memory is what one sample leaves for the backward pass, in fp32 and with every layer in bf16.
    Nothing is computed but shapes, so any size takes seconds.
    """
    from hagan_clinic.training.registry import gather_settings
    from hagan_clinic.training.summary import PRECISIONS, summarise

    given = {name: value for name, value in options.items() if value is not None}
    given |= dict(assignment(text) for text in assignments)
    config = gather_settings(None, [], given)
    parts = summarise(config)
    totals = {
        precision: sum(part.activation_bytes[precision] for part in parts)
        for precision in PRECISIONS
    }
    parameters = sum(part.parameters for part in parts)
    if not as_json:
        _print(parts, parameters, totals)
        return
    facts = {
        "mode": config.mode,
        "model": config.model,
        "size": config.size,
        "slab": config.slab,
        "parameters": {"total": parameters} | {part.symbol: part.parameters for part in parts},
        "activation_bytes": {
            precision: {"total": total}
            | {part.symbol: part.activation_bytes[precision] for part in parts}
            for precision, total in totals.items()
        },
        "layers": {
            part.symbol: [dataclasses.asdict(layer) for layer in part.layers] for part in parts
        },
    }
    say(json.dumps(facts, indent=2))


def _print(parts: list[PartSummary], parameters: int, totals: dict[str, int]) -> None:
    from rich.text import Text

    numbers = ("parameters", *(f"{name} MiB" for name in totals))
    header = ("part", "layer", "output (C, D, H, W)", *numbers)
    rows: list[Sequence[str | Text]] = []
    for part in parts:
        for number, layer in enumerate(part.layers):
            output = " × ".join(map(str, layer.output))
            symbol = "" if number else part.symbol
            cells = (symbol, layer.kind, output, f"{layer.parameters:,}", *("" for _ in totals))
            rows.append(cells)
        used = (f"{part.activation_bytes[name] / MIB:,.1f}" for name in totals)
        cells = ("", f"{part.symbol} together", "", f"{part.parameters:,}", *used)
        rows.append([Text(one, "bold") for one in cells])
    used = (f"{total / MIB:,.1f}" for total in totals.values())
    cells = ("all", "", "", f"{parameters:,}", *used)
    rows.append([Text(one, "bold") for one in cells])
    show_table(header, rows, right=numbers)
    say("MiB: what one sample leaves in memory for the backward pass, by precision.")
