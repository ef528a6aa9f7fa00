"""Tables on the screen, and the files of a command all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.cli.printing import cell
from hagan_clinic.printable import printable

if TYPE_CHECKING:
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


class Files:
    """The files that a command will write into a folder: checked now, written at its end.

    Args:
        folder: The folder; created if missing.
        names: Of the files.
        overwrite: Replace files that exist.

    Raises:
        OutputError: One exists and may not be replaced, or the folder cannot be written.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
        from hagan_clinic.runtime.synthesis_outputs import OutputFolder

        self._files = OutputFolder(folder, [], names, overwrite=overwrite)

    def write(self, writers: Mapping[str, str | Callable[[Path], object]]) -> None:
        """Write all files or none: texts, and what functions write to the path they are given.

        Raises:
            OutputError: A file cannot be written.
        """
        with self._files.writing() as place:
            for path in self._files.others:
                what = writers[path.name]
                if isinstance(what, str):
                    place[path].write_text(what, "utf-8")
                else:
                    what(place[path])
