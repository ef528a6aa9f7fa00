"""The node's log: a JSON object a line, of facts that never tell who the patient is.

What is logged is names of events, hashes, counts, times and AE titles. Messages of errors are not:
they may quote a header. They stand in the spool, beside the images that they are about. The same
holds for what libraries warn of or print: their lines tell where from, not what.
"""

import io
import json
import logging
import sys
import threading
import time
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from hagan_clinic.errors import HaganClinicError

_LOGGER = logging.getLogger("hagan_clinic.node")
_PACKAGE = str(Path(__file__).parents[1])
_FRAMES = 8
_QUIET_SECONDS = 10.0


class _Lines(logging.Formatter):
    """A record as one line of JSON; of a library's, where it comes from alone."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": when, "level": record.levelname.lower()}
        if record.name == _LOGGER.name:
            facts = record.args if isinstance(record.args, dict) else {}
            line |= {"event": record.msg, **facts}
        else:
            at = f"{record.filename}:{record.lineno}"
            line |= {"event": "library log", "logger": record.name, "at": at}
        return json.dumps(line, default=str)


class _Printed(io.TextIOBase):
    """Standard output and error, once the log has taken the latter: what is printed is counted."""

    def __init__(self) -> None:
        self._lines = 0
        self._last = -_QUIET_SECONDS

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._lines += text.count("\n")
        now = time.monotonic()
        if self._lines and now - self._last >= _QUIET_SECONDS:
            lines, self._lines, self._last = self._lines, 0, now
            log("library output", level=logging.WARNING, lines=lines)
        return len(text)


def start_logging() -> None:
    """Write the node's log to standard error, where a service's journal takes it.

    From now on every line there is one of it: warnings, tracebacks and what libraries print too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.raiseExceptions = False
    _LOGGER.setLevel(logging.INFO)
    # They log what every peer does.
    for name in ("pynetdicom", "pydicom", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.showwarning = _warned
    sys.excepthook = _crashed
    threading.excepthook = lambda told: _crashed(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _crashed(told.exc_type, told.exc_value, told.exc_traceback)
    sys.stdout = sys.stderr = _Printed()


def log(event: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Log an event with its facts."""
    # A dictionary as the only argument is the record's `args`.
    _LOGGER.log(level, event, facts)


def problem(error: BaseException) -> dict[str, str]:
    """What a log may tell of an exception: its kind and where in this package it came from."""
    facts = {"problem": type(error).__name__}
    if not isinstance(error, HaganClinicError):
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename.startswith(_PACKAGE)]
        if own:
            facts["at"] = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    return facts


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    at = f"{Path(filename).name}:{lineno}"
    log("library warning", level=logging.WARNING, kind=category.__name__, at=at)


def _crashed(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Log an exception that nobody caught: its kind and the places that it came through."""
    frames = traceback.extract_tb(trace)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    thread = threading.current_thread().name
    log("crash", level=logging.CRITICAL, problem=kind.__name__, thread=thread, trace=places)
