"""The node's log: a JSON object a line, of facts that never tell who the patient is.

What is logged is names of events, hashes, counts, times and AE titles. Messages of errors are not:
they may quote a header. They stand in the spool, beside the images that they are about.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hagan_clinic.errors import HaganClinicError

_LOGGER = logging.getLogger("hagan_clinic.node")
_PACKAGE = str(Path(__file__).parents[1])


class _Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts = record.args if isinstance(record.args, dict) else {}
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname.lower(), "event": record.msg, **facts}
        return json.dumps(line)


def start_logging() -> None:
    """Write the node's log to standard error, where a service's journal takes it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
    # They quote addresses, identifiers and data sets.
    for name in ("pynetdicom", "pydicom", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


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
