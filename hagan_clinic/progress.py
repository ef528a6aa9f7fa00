"""A progress line on a terminal's stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counted(task: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A line that counts to `total`, by one for each call of what it gives."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    with Progress(
        TextColumn(task, markup=False), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=hidden,
    ) as progress:  # fmt: skip
        line = progress.add_task(task, total=total)
        yield lambda: progress.advance(line)
