"""What the spool lets go of: series that ended long ago, or when the disk fills up.

Age is counted by the time that the node has been at work, not by the machine's clock, which may be
set: only between a stop and the next start does it count, for an hour at most. So no clock makes
the node delete what it should keep; at worst, what a machine that was off holds stays longer.
"""

import json
import logging
import shutil
import time
from contextlib import suppress
from typing import Any

from hagan_clinic.imageio.atomic import write_text
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.incomplete import is_incomplete
from hagan_clinic.node.job import Job
from hagan_clinic.node.logs import log
from hagan_clinic.node.spool import Spool

_DAY = 86400.0
_LONGEST_STOP = 3600.0  # seconds of a stop that count


class Retention:
    """Deletes series that have ended; those that are still to be translated or sent, never.

    Args:
        spool: Where they are.
        config: `keep_done_days`, `keep_skipped_days`, `keep_failed_days` and `max_disk_share`.
        endings: Of what cannot be deleted.
    """

    def __init__(self, spool: Spool, config: NodeConfig, endings: Endings) -> None:
        self._spool = spool
        self._days = {
            "skipped": config.keep_skipped_days,
            "done": config.keep_done_days,
            "failed": config.keep_failed_days,
        }
        self._share = config.max_disk_share
        self._endings = endings
        self._clock = _Clock(spool)

    def __call__(self) -> None:
        """Delete what is too old; then, failed last, what takes too much of the disk."""
        now = self._clock.tick()
        rest = []
        kept_for = [
            (job, kept) for state, kept in self._days.items() for job in self._spool.jobs(state)
        ]
        held_back = filter(is_incomplete, self._spool.jobs("incoming"))
        kept_for += [(job, self._days["failed"]) for job in held_back]
        for job, kept in kept_for:
            with self._endings.alone(job):
                if self._age(job, now) > kept * _DAY:
                    self._purge(job, "age")
                else:
                    rest.append(job)
        size = _size(self._spool)
        most = self._share * shutil.disk_usage(self._spool.root).total
        for job in rest:
            if size <= most:
                return
            with self._endings.alone(job):
                size -= sum(path.stat().st_size for path in job.folder.rglob("*.*"))
                self._purge(job, "disk share")

    def _age(self, job: Job, now: float) -> float:
        """Seconds of work since the series was first seen to have ended."""
        since: Any = job.record().get("kept_since")
        # One that is later than now is of a clock that was lost.
        if not isinstance(since, int | float) or since > now:
            self._spool.note(job, kept_since=now)
            return 0.0
        return now - float(since)

    def _purge(self, job: Job, why: str) -> None:
        log("purged", series=job.name, state=job.state, why=why)
        self._spool.purge(job)


class _Clock:
    """Counts the seconds for which the node of a spool has been at work, all starts together."""

    def __init__(self, spool: Spool) -> None:
        self._file = spool.root / "clock.json"
        self._last = time.monotonic()
        kept, now = self._kept(), time.time()
        off = now - kept.get("time", now)
        if not 0 <= off <= _LONGEST_STOP:
            log("long stop, or a clock was set", level=logging.WARNING, seconds=round(off))
            off = _LONGEST_STOP if off > 0 else 0.0
        self._seconds = kept.get("seconds", 0.0) + off

    def tick(self) -> float:
        """The seconds by now, which are kept for the next start."""
        now = time.monotonic()
        self._seconds += now - self._last
        self._last = now
        write_text(json.dumps({"seconds": self._seconds, "time": time.time()}), self._file)
        return self._seconds

    def _kept(self) -> dict[str, float]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
            return {key: float(kept[key]) for key in ("seconds", "time")}
        except (OSError, ValueError, LookupError, TypeError):
            return {}


def _size(spool: Spool) -> int:
    """Bytes of all files of the spool."""
    size = 0
    for path in spool.root.rglob("*.*"):
        with suppress(OSError):  # it has gone on, or cannot be looked at
            size += path.stat().st_size
    return size
