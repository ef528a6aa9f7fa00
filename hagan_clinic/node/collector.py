"""When a series is complete: who sent it has gone, and nothing of it has come for a while."""

from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.intake import Intake
from hagan_clinic.node.logs import log
from hagan_clinic.node.spool import Spool


class Collector:
    """Makes incoming series ready.

    Silence is measured by this process's clock alone: after a restart it begins anew, because a
    sender cut off then tries again, and setting the machine's clock does not matter.

    Args:
        spool: Where the series are.
        intake: Knows when each was last heard of, and who may send more of it.
        config: `silence` and `longest_open`.
        endings: Of what cannot be made ready.
    """

    def __init__(self, spool: Spool, intake: Intake, config: NodeConfig, endings: Endings) -> None:
        self._spool = spool
        self._intake = intake
        self._config = config
        self._endings = endings

    def __call__(self) -> None:
        """Look at every incoming series once."""
        for job in self._spool.jobs("incoming"):
            if not self._is_silent(job.name):
                continue
            with self._endings.alone(job):
                ready = self._spool.complete(job.name)
                if ready is not None:
                    self._intake.forget(job.name)
                    instances = sum(1 for _ in ready.source.iterdir())
                    log("complete", series=job.name, instances=instances)

    def _is_silent(self, name: str) -> bool:
        """An association that stays open holds its series, but not for ever."""
        silent = self._intake.silent_for(name)
        if self._intake.is_held(name):
            return silent >= self._config.longest_open
        return silent >= self._config.silence
