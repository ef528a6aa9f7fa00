"""Incoming series that are held back because they are plainly not whole."""

import time

from hagan_clinic.node.job import DamagedError, Job

INCOMPLETE = "incomplete"
"""Outcome of an incoming series that is held back because it is plainly not whole."""

_REST_SECONDS = 900.0  # within which the rest of a series is still expected


def is_incomplete(job: Job) -> bool:
    """Whether it is held back because it is plainly not whole."""
    try:
        return job.state == "incoming" and job.record().get("outcome") == INCOMPLETE
    except DamagedError:
        return False


def waits_in_vain(job: Job) -> bool:
    """Whether a series has been held back for so long that its rest may never come.

    What came later than now, came before the clock was set back.
    """
    return is_incomplete(job) and not 0 <= time.time() - job.changed() <= _REST_SECONDS
