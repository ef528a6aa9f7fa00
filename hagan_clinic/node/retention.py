"""What the spool lets go of: done and failed series that are old, or when the disk fills up."""

import shutil
import time
from contextlib import suppress

from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.job import Job
from hagan_clinic.node.logs import log
from hagan_clinic.node.spool import Spool

_DAY = 86400.0


class Retention:
    """Deletes done and failed series; those that are still to be translated or sent, never.

    Args:
        spool: Where they are.
        config: `keep_done_days`, `keep_failed_days` and `max_disk_share`.
    """

    def __init__(self, spool: Spool, config: NodeConfig) -> None:
        self._spool = spool
        self._config = config

    def __call__(self) -> None:
        """Delete what is too old; then, done before failed, what takes too much of the disk."""
        now = time.time()
        days = {"done": self._config.keep_done_days, "failed": self._config.keep_failed_days}
        rest = []
        for state, kept in days.items():
            for job in self._spool.jobs(state):
                age = now - job.record().get("ended", job.changed())
                if age > kept * _DAY:
                    self._purge(job, "age")
                else:
                    rest.append(job)
        size = _size(self._spool)
        most = self._config.max_disk_share * shutil.disk_usage(self._spool.root).total
        for job in rest:
            if size <= most:
                return
            size -= sum(path.stat().st_size for path in job.folder.rglob("*.*"))
            self._purge(job, "disk share")

    def _purge(self, job: Job, why: str) -> None:
        log("purged", series=job.name, state=job.state, why=why)
        self._spool.purge(job)


def _size(spool: Spool) -> int:
    """Bytes of all files of the spool."""
    size = 0
    for path in spool.root.rglob("*.*"):
        with suppress(FileNotFoundError):  # it has gone on
            size += path.stat().st_size
    return size
