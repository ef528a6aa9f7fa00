"""What an evaluation found, on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hagan_clinic.cli.printing import console, say, show_table
from hagan_clinic.printable import printable

if TYPE_CHECKING:
    from hagan_clinic.api.evaluated import Evaluated
    from hagan_clinic.evaluation.tables import Table


def show(tables: Sequence[Table]) -> None:
    """Print tables, each with its note under it."""
    from rich.text import Text

    screen = console()
    for table in tables:
        screen.print(Text(f"\n{table.title}", style="bold"))
        if table.rows:
            show_table(table.header, table.rows)
        if table.note:
            screen.print(Text(printable(table.note), style="dim"), soft_wrap=True)


def report(evaluated: Evaluated, *, quiet: bool) -> None:
    """Print the warnings on stderr and, unless quiet, the tables and where the files are."""
    for warning in evaluated.warnings:
        say(f"warning: {warning}", err=True)
    if not quiet:
        show(evaluated.tables)
        say(f"\nwrote {evaluated.folder}: {', '.join(evaluated.files)}")
        if evaluated.remark:
            say(evaluated.remark)
