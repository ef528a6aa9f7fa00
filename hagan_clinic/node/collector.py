"""When a series is complete: who sent it has gone, nothing of it came for a while, all is there."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.incomplete import INCOMPLETE
from hagan_clinic.node.intake import Intake
from hagan_clinic.node.job import Job
from hagan_clinic.node.logs import log
from hagan_clinic.node.spool import Spool

Missing = Callable[[Sequence[Path]], str]
"""Called with the folders of a series' instances, the latest last: says why it is plainly not
whole; "" if it may be."""


class Collector:
    """Makes incoming series ready, and holds back those that are plainly not whole.

    Silence is measured by this process's clock alone: after a restart it begins anew, because a
    sender cut off then tries again, and setting the machine's clock does not matter.

    Args:
        spool: Where the series are.
        intake: Knows when each was last heard of, and who may send more of it.
        config: `silence` and `longest_open`.
        endings: Of what cannot be made ready.
        missing: Judges a series that is silent.
    """

    def __init__(
        self,
        spool: Spool,
        intake: Intake,
        config: NodeConfig,
        endings: Endings,
        missing: Missing,
    ) -> None:
        self._spool = spool
        self._intake = intake
        self._config = config
        self._endings = endings
        self._missing = missing
        self._assessed: dict[str, tuple[float, str]] = {}

    def __call__(self) -> None:
        """Look at every incoming series once."""
        incoming = self._spool.jobs("incoming")
        for job in incoming:
            with self._endings.alone(job):
                if self._is_released(job) or (self._is_silent(job.name) and self._is_whole(job)):
                    self._complete(job)
        names = {job.name for job in incoming}
        self._assessed = {name: why for name, why in self._assessed.items() if name in names}

    def _complete(self, job: Job) -> None:
        with self._spool.locked():  # nothing takes it before its instances are counted
            ready = complete(self._spool, job.name)
            if ready is None:
                return
            instances = sum(1 for _ in ready.source.iterdir())
        self._intake.forget(job.name)
        self._assessed.pop(job.name, None)
        log("complete", series=job.name, instances=instances)

    def _is_released(self, job: Job) -> bool:
        return bool(job.record().get("released"))

    def _is_silent(self, name: str) -> bool:
        """An association that stays open holds its series, but not for ever."""
        silent = self._intake.silent_for(name)
        if self._intake.is_held(name):
            return silent >= self._config.longest_open
        return silent >= self._config.silence

    def _is_whole(self, job: Job) -> bool:
        """Judge a series once, and again when more of it has come."""
        heard = self._intake.heard(job.name)
        before = self._assessed.get(job.name)
        if before is None or before[0] != heard:
            reason = self._reason(job)
            if reason is None:
                return False
            self._assessed[job.name] = heard, reason
            if reason:
                self._hold_back(job, reason)
        return not self._assessed[job.name][1]

    def _hold_back(self, job: Job, reason: str) -> None:
        """Note why; how long it has been kept counts on after a restart, until more comes."""
        came, known = job.changed(), job.record()
        facts: dict[str, Any] = {"outcome": INCOMPLETE, "reason": reason, "held_since": came}
        if known.get("held_since") != came:
            facts["kept_since"] = None
        if facts.items() <= known.items():
            return
        log("incomplete", level=logging.WARNING, series=job.name, why=reason)
        self._spool.note(job, **facts)

    def _reason(self, job: Job) -> str | None:
        """What `missing` says; None where there is nothing to assess, or it goes on meanwhile."""
        earlier = self._spool.earlier(job.name)
        parts = [one for one in (earlier, job) if one is not None]
        try:
            # A join that was cut off may leave no file of what came in.
            folders = [one.source for one in parts if any(one.source.iterdir())]
            return self._missing(folders) if folders else None
        except (InputError, FileNotFoundError):
            if all(one.folder.is_dir() for one in parts):
                raise
            return None
