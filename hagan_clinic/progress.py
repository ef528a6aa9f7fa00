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


def remaining(elapsed: float, done: float, to_do: float) -> str:
    """`0:04:10 left`, if the rest goes as what is done; nothing where that cannot be known.

    Args:
        elapsed: Seconds since the beginning.
        done: How much has been done in them.
        to_do: How much is left.
    """
    return f"{duration(elapsed / done * to_do)} left" if done > 0 and to_do > 0 else ""


class Listed:
    """Where stderr is a file or a pipe, a line for each of some long things when it is done.

    Args:
        total: How many there are.
        quiet: Print nothing.
    """

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._silent = quiet or is_hidden() or Console(stderr=True).is_terminal
        self._total, self._done, self._worked = total, 0, 0
        self._began = time.monotonic()

    def add(self, text: str, *, worked: bool = True) -> None:
        """Print the next line.

        Args:
            text: Of printable characters.
            worked: It took its time; otherwise it tells nothing of the time that others take.
        """
        self._done += 1
        self._worked += worked
        left = remaining(time.monotonic() - self._began, self._worked, self._total - self._done)
        if not self._silent:
            line = ", ".join(filter(None, [f"{self._done}/{self._total} {text}", left]))
            print(line, file=sys.stderr, flush=True)


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
            left = remaining(now - self._began, self._done, self._total - self._done)
            line = ", ".join(filter(None, [f"{self._task} {self._done}/{self._total}", left]))
            print(line, file=sys.stderr, flush=True)


def _nothing() -> None:
    """Of a quiet task."""
