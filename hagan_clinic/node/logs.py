"""The node's log: a JSON object a line, of facts that never identify the patient.

What is logged is names of events, hashes, counts, times and AE titles. Messages of errors are not:
they may quote a header. They stand in the spool, beside the images that they are about. The same
holds for what libraries warn of or print: their lines tell where from, not what.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, TextIO

from hagan_clinic.errors import HaganClinicError
from hagan_clinic.node.posix import fcntl

_LOGGER = logging.getLogger("hagan_clinic.node")
_PACKAGE = str(Path(__file__).parents[1])
_FRAMES = 8
_QUIET_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_MOST_PRINTED = 2**20  # bytes that are kept; what comes just as they go is not counted


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


def start_logging() -> None:
    """Write the node's log to standard error, where a service's journal takes it.

    From now on every line there is one of it: warnings, tracebacks and what libraries print too,
    those written in C among them.
    """
    handler = logging.StreamHandler(_own_standard_error())
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.raiseExceptions = False
    _LOGGER.setLevel(logging.INFO)
    # They log what every peer does.
    for name in ("pynetdicom", "pydicom", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.showwarning = _warned
    sys.excepthook = _crashed
    threading.excepthook = lambda one: _crashed(one.exc_type, one.exc_value, one.exc_traceback)
    sys.unraisablehook = lambda one: _crashed(one.exc_type, one.exc_value, one.exc_traceback)


def log(event: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Log an event with its facts."""
    # A dictionary as the only argument is the record's `args`.
    _LOGGER.log(level, event, facts)


def problem(error: BaseException) -> dict[str, str]:
    """What a log may say about an exception: its kind and where in this package it came from."""
    facts = {"problem": type(error).__name__}
    if not isinstance(error, HaganClinicError):
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename.startswith(_PACKAGE)]
        if own:
            facts["at"] = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    return facts


def _own_standard_error() -> TextIO:
    """Standard error for the log alone; all else that is printed is counted.

    It goes into a file in memory: a pipe that is full would hold up who prints, and a library may
    print while it holds what the thread that empties the pipe needs, the interpreter for one.
    """
    sys.stdout.flush(), sys.stderr.flush()
    own = os.dup(2)
    os.set_blocking(own, True)  # whoever shares it may have set it otherwise: lines would be lost
    printed = _file_in_memory()
    for descriptor in (1, 2):
        os.dup2(printed, descriptor)
    threading.Thread(target=_count_lines, args=(printed,), name="printed", daemon=True).start()
    return os.fdopen(own, "w", encoding="utf-8", buffering=1)


def _file_in_memory() -> int:
    """A file without a name; every write goes to its end. Elsewhere than on Linux it is on disk."""
    if sys.platform == "linux":
        file = os.memfd_create("printed")
    else:
        with TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    return file


def _count_lines(printed: int) -> None:
    lines, at, last = 0, 0, -_QUIET_SECONDS
    while True:
        time.sleep(_LOOK_SECONDS)
        while content := os.pread(printed, 2**16, at):
            lines += max(1, content.count(b"\n"))
            at += len(content)
        if at > _MOST_PRINTED:
            os.ftruncate(printed, 0)
            at = 0
        now = time.monotonic()
        if lines and now - last >= _QUIET_SECONDS:
            log("library output", level=logging.WARNING, lines=lines)
            lines, last = 0, now


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
