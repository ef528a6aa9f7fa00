"""When a series is complete: nothing of it has come for a while."""

from hagan_clinic.node.intake import Intake
from hagan_clinic.node.logs import log
from hagan_clinic.node.spool import Spool


class Collector:
    """Makes incoming series ready.

    Silence is measured by this process's clock alone: after a restart it begins anew, because a
    sender cut off then tries again, and setting the machine's clock does not matter.

    Args:
        spool: Where the series are.
        intake: Knows when each was last heard of.
        silence: Seconds.
    """

    def __init__(self, spool: Spool, intake: Intake, silence: float) -> None:
        self._spool = spool
        self._intake = intake
        self._silence = silence

    def __call__(self) -> None:
        """Look at every incoming series once."""
        for job in self._spool.jobs("incoming"):
            if self._intake.silent_for(job.name) < self._silence:
                continue
            ready = self._spool.complete(job.name)
            if ready is not None:
                self._intake.forget(job.name)
                log("complete", series=job.name, instances=sum(1 for _ in ready.source.iterdir()))
