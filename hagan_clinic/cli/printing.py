"""What the commands print: texts from headers, models and file names among them, and tables."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from hagan_clinic.printable import printable
from hagan_clinic.progress import is_hidden

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_NO_TERMINAL = 1000
"""Columns where the output is a file or a pipe: nothing is wrapped there."""

_LONGEST_WORD = 24
"""Of names that somebody copies; longer ones, such as paths, may be broken so that a table fits."""

_LEAST_WIDTH = 8
"""Of a column whose words may be broken."""

_GAP = 2
"""Columns between those of a table."""


def say(text: str, *, err: bool = False) -> None:
    """Print lines, whatever text from outside is in them; see `printable`."""
    click.echo(printable(text), err=err)


def spell_out() -> None:
    """Let output that is not UTF-8, as of a pipe on Windows, have escapes for what it lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def note(text: str) -> None:
    """Print lines that nobody asked for, such as what was written where: not with --quiet."""
    if not is_hidden():
        say(text)


def cell(text: str) -> Text:
    """A cell of a table that says just this: no markup, nothing but print."""
    from rich.text import Text

    return Text(printable(text))


def console() -> Console:
    """Where tables go: as wide as the terminal, or as COLUMNS says, or without end."""
    from rich.console import Console

    found = Console(highlight=False)
    if found.is_terminal or "COLUMNS" in os.environ:
        return found
    return Console(highlight=False, width=_NO_TERMINAL)


def show_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: Sequence[str] = (),
    loose: Sequence[str] = (),
) -> None:
    """Print a table in which nothing is cut off: long cells go on in the next line.

    Where the columns would be narrower than their words, as eight of them in a terminal of 80 are,
    each row is a block of lines instead, with a heading and a value in each.

    Args:
        header: Of each column.
        rows: Cells: text from anywhere, or a `rich` text for its colours.
        right: Headings of the columns of numbers, set to the right.
        loose: Headings of the columns whose words may be broken, as nobody has to copy them.
    """
    from rich import box
    from rich.table import Table

    cells = [[cell(one) if isinstance(one, str) else one for one in row] for row in rows]
    columns = [
        [heading, *(row[number].plain for row in cells)] for number, heading in enumerate(header)
    ]
    words = [_widest(" ".join(one).split()) for one in columns]
    least = [
        min(width, _LEAST_WIDTH if heading in loose else _LONGEST_WORD)
        for heading, width in zip(header, words, strict=True)
    ]
    most = [_widest("\n".join(one).split("\n")) for one in columns]
    screen = console()
    room = screen.width - _GAP * (len(columns) - 1)
    if sum(least) > room:
        for row in cells:
            show_facts(zip(header, row, strict=True))
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for heading, width in zip(header, _widths(least, most, room), strict=True):
        table.add_column(
            heading,
            overflow="fold",
            justify="right" if heading in right else "left",
            width=width,
        )
    for row in cells:
        table.add_row(*row)
    screen.print(table)


def show_facts(facts: Iterable[tuple[str, Text]]) -> None:
    """Print a block of lines with a heading and a value each, and an empty line after them."""
    from rich.table import Table

    block = Table.grid(padding=(0, _GAP))
    block.add_column(style="bold", no_wrap=True)
    block.add_column(overflow="fold")
    for heading, value in facts:
        if value.plain:
            block.add_row(heading, value)
    console().print(block, "")


def _widest(texts: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, texts), default=0)


def _widths(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Of the columns: what their words need, and of the rest, first what lacks least."""
    widths, spare = list(least), room - sum(least)
    lacking = sorted(range(len(least)), key=lambda column: most[column] - least[column])
    for done, column in enumerate(lacking):
        more = min(most[column] - least[column], spare // (len(lacking) - done))
        widths[column] += more
        spare -= more
    return widths
