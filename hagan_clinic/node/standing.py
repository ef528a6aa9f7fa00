"""How the spool stands, for health, metrics and the log: what it holds, and what needs a look."""

import os
from collections.abc import Mapping

from hagan_clinic.node.incomplete import is_incomplete
from hagan_clinic.node.job import DamagedError, Job
from hagan_clinic.node.spool import STATES, Spool
from hagan_clinic.node.superseded import sent


def counts(spool: Spool) -> Mapping[str, int]:
    """Number of series in each state."""
    return {state: spool.count(state) for state in STATES}


def strays(spool: Spool) -> int:
    """Number of files and folders among the series that are none."""
    every = sum(1 for state in STATES for _ in os.scandir(spool.folder(state)))
    return every - sum(map(spool.count, STATES))


def incomplete(spool: Spool) -> dict[str, str]:
    """Names of the incoming series that are held back, and why."""
    held = [job for job in spool.jobs("incoming") if is_incomplete(job)]
    return {job.name: str(job.record().get("reason", "")) for job in held}


def partly_sent(spool: Spool) -> int:
    """Number of series of which the archive took a part and then refused or failed."""
    return sum(
        1 for state in ("outbox", "failed") for job in spool.jobs(state) if _is_partly_sent(job)
    )


def _is_partly_sent(job: Job) -> bool:
    try:
        return bool(job.record().get("taken")) and job.result.is_dir() and bool(sent(job))
    except (DamagedError, OSError, ValueError):
        return False
