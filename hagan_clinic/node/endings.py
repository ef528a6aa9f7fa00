"""How a series comes to rest: with its outcome and reason, and alone, whatever is wrong with it."""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hagan_clinic.node.audit import AuditError, audit
from hagan_clinic.node.job import Job
from hagan_clinic.node.logs import log, problem
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.spool import Spool

SKIPPED = "skipped"

# Every series would meet these, not one alone: they are for the part that works to report.
_OF_THE_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
)  # fmt: skip


class Endings:
    """Ends series.

    Args:
        spool: Where they are.
        metrics: Counts them.
    """

    def __init__(self, spool: Spool, metrics: Metrics) -> None:
        self._spool = spool
        self._metrics = metrics

    def keep(self, job: Job, outcome: str, reason: str, **facts: Any) -> None:
        """Let a series stay here with its reason: in `skipped` or, for someone to look, `failed`.

        Raises:
            AuditError: The audit trail cannot be written.
        """
        audit(self._spool, job, outcome, **facts)
        self._metrics.series.labels(outcome).inc()
        state = SKIPPED if outcome == SKIPPED else "failed"
        self._spool.move(job, state, outcome=outcome, reason=reason, ended=time.time(), **facts)

    @contextmanager
    def alone(self, job: Job) -> Iterator[None]:
        """Let what is wrong with one series end that series, and hold up no other.

        One that has left its state meanwhile does not end: it was another's turn.

        Raises:
            Exception: What is wrong is not of this series: the disk is full, for example.
        """
        try:
            yield
        except Exception as error:
            if is_of_the_machine(error):
                raise
            with self._spool.locked():
                self._end(job, error)

    def _end(self, job: Job, error: Exception) -> None:
        facts = problem(error)
        if not job.folder.is_dir():
            log("gone on meanwhile", level=logging.WARNING, series=job.name, **facts)
            return
        if not self._spool.was_stuck(job):  # then it has been reported
            audit(self._spool, job, "failed", **facts)
            self._metrics.series.labels("failed").inc()
        reason = f"{type(error).__name__}: {error}"
        if not self._spool.set_aside(job, outcome="failed", reason=reason, ended=time.time()):
            log("cannot be moved", level=logging.ERROR, series=job.name, **facts)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an exception says nothing of the series that was at hand."""
    if isinstance(error, AuditError | MemoryError):
        return True
    causes = (error, error.__cause__)
    return any(isinstance(one, OSError) and one.errno in _OF_THE_MACHINE for one in causes)
