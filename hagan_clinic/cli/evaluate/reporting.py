"""What an evaluation found, on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hagan_clinic.cli.printing import cell, say
from hagan_clinic.printable import printable

if TYPE_CHECKING:
    from hagan_clinic.api.evaluated import Evaluated
    from hagan_clinic.evaluation.tables import Table

WIDE = 1000


def show(tables: Sequence[Table]) -> None:
    """Print tables, each with its note under it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Sheet
    from rich.text import Text

    # Where the output is no terminal nothing is cut or wrapped.
    console = Console() if Console().is_terminal else Console(width=WIDE)
    for table in tables:
        console.print(Text(f"\n{table.title}", style="bold"))
        if table.rows:
            sheet = Sheet(*table.header, box=box.SIMPLE_HEAD)
            for row in table.rows:
                sheet.add_row(*map(cell, row))
            console.print(sheet)
        if table.note:
            console.print(Text(printable(table.note), style="dim"), soft_wrap=True)


def report(evaluated: Evaluated, *, quiet: bool) -> None:
    """Print the warnings on stderr and, unless quiet, the tables and where the files are."""
    for warning in evaluated.warnings:
        say(f"warning: {warning}", err=True)
    if not quiet:
        show(evaluated.tables)
        say(f"\nwrote {evaluated.folder}: {', '.join(evaluated.files)}")
        if evaluated.remark:
            say(evaluated.remark)
