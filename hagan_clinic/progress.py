"""How far a long task is, on stderr: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

SECONDS_BETWEEN_LINES = 10.0
"""Where stderr is a file or a pipe."""

_HIDDEN = ContextVar("hidden", default=False)


def hide() -> Callable[[], None]:
    """Show no progress from now on, until what this gives is called."""
    before = _HIDDEN.set(True)
    return lambda: _HIDDEN.reset(before)


def is_hidden() -> bool:
    """Whether no progress shall be shown."""
    return _HIDDEN.get()


@contextmanager
def counted(task: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Count to `total`, by one for each call of what it gives; any thread may call it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    quiet = quiet or is_hidden()
    if quiet or not console.is_terminal:
        yield _Lines(task, total).advance if not quiet else _nothing
        return
    with Progress(
        TextColumn(task, markup=False), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        line = progress.add_task(task, total=total)
        yield lambda: progress.advance(line)


def duration(seconds: float) -> str:
    """`0:04:10`, as bars show it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class _Lines:
    """A line at most every ten seconds, and so none about what takes less."""

    def __init__(self, task: str, total: int) -> None:
        self._task, self._total, self._done = task, total, 0
        self._began = self._printed = time.monotonic()
        self._lock = Lock()

    def advance(self) -> None:
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if now - self._printed < SECONDS_BETWEEN_LINES:
                return
            self._printed = now
            left = (now - self._began) / self._done * (self._total - self._done)
            line = f"{self._task} {self._done}/{self._total}, {duration(left)} left"
            print(line, file=sys.stderr, flush=True)


def _nothing() -> None:
    """Of a quiet task."""
