"""The audit trail: one line a series that has come to its end, in `audit.jsonl` and in the log."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hagan_clinic.node.job import DamagedError, Job
from hagan_clinic.node.logs import log
from hagan_clinic.node.spool import Spool

_FACTS = ("source_sha256", "result_sha256", "model", "model_sha256", "device")
_FIGURES = ("attempts", "instances", "received", "translated", "seconds", "warnings")


class AuditError(Exception):
    """The audit trail cannot be written, so nothing may come to its end."""


def audit(spool: Spool, job: Job, outcome: str, **facts: Any) -> None:
    """Write the line: hashes, model, device, times and outcome, nothing of the patient.

    It is written before the series changes its state: a crash in between repeats it, none is lost.

    Raises:
        AuditError: It cannot be written.
    """
    try:
        record = {**job.record(), **facts}
    except DamagedError:
        record = facts
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "series": job.name,
        "outcome": outcome,
        **{key: record.get(key) for key in (*_FACTS, *_FIGURES, "commitment", "problem")},
    }
    try:
        with (spool.root / "audit.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AuditError(f"audit.jsonl cannot be written ({error.strerror})") from error
    del line["time"]  # the log's lines have their own
    log("audit", **line)


def folder_sha256(folder: Path) -> str:
    """One hash of the files of a folder, whatever their names and order."""
    sums = []
    for path in folder.iterdir():
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256("".join(sorted(sums)).encode()).hexdigest()
