"""What the commands print: texts from headers, models and file names among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hagan_clinic.printable import printable

if TYPE_CHECKING:
    from rich.text import Text


def say(text: str, *, err: bool = False) -> None:
    """Print lines, whatever text from outside is in them; see `printable`."""
    click.echo(printable(text), err=err)


def cell(text: str) -> Text:
    """A cell of a table that says just this: no markup, nothing but print."""
    from rich.text import Text

    return Text(printable(text))
