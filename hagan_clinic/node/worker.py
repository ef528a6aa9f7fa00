"""Translates the series that are ready, one after the other."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagan_clinic.errors import DeviceError, InputError, OutputError, UnsuitableError
from hagan_clinic.imageio.atomic import flush_folder
from hagan_clinic.node.audit import folder_sha256
from hagan_clinic.node.config import SEND, NodeConfig
from hagan_clinic.node.endings import SKIPPED, Endings, is_of_the_machine
from hagan_clinic.node.job import Job
from hagan_clinic.node.logs import log, problem
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.spool import Spool
from hagan_clinic.node.superseded import superseded, uids


@dataclass(frozen=True)
class Translated:
    """What a translation reports of itself.

    Attributes:
        model: Its name.
        model_sha256: Of its file.
        device: What it ran on.
        warnings: Doubts about the source.
    """

    model: str
    model_sha256: str
    device: str
    warnings: tuple[str, ...]


Translate = Callable[[Path, Path, Sequence[str]], Translated]
"""Translates the DICOM series in one folder into a derived series in another, which it makes and
which supersedes earlier ones, given by their Series Instance UIDs.

It raises UnsuitableError for a source that is not for its model, InputError for one that it
refuses, and OutputError, DeviceError or MemoryError for what may be mended meanwhile: a full disk,
a GPU that others use."""

# What may be otherwise the next time.
_PASSING = (OutputError, DeviceError, MemoryError, OSError)


class Worker:
    """Takes a ready series, translates it, and lets it be sent or kept with a reason.

    A series that brought the process down is tried again, but not for ever: its attempts were
    counted before they began.
    """

    def __init__(
        self, spool: Spool, translate: Translate, config: NodeConfig, metrics: Metrics
    ) -> None:
        self._spool = spool
        self._translate = translate
        self._config = config
        self._metrics = metrics
        self._endings = Endings(spool, metrics)

    def __call__(self) -> None:
        """Translate all that is ready."""
        # After each, the list anew: what has come meanwhile may be older.
        while any(self._try(job) for job in self._spool.jobs("ready")):
            pass

    def _try(self, job: Job) -> bool:
        """Work at a series, unless it is to wait."""
        with self._endings.alone(job):
            running = self._spool.take(job)
            if running is None:
                return False
            with self._endings.alone(running):
                try:
                    self._work(running)
                except Exception as error:
                    if is_of_the_machine(error):
                        # Not even the failure could be noted: the disk is full, perhaps.
                        self._spool.put_back(running)
                    raise
        return True

    def _work(self, job: Job) -> None:
        attempts = job.record()["attempts"]
        if attempts > self._config.attempts:
            last = job.record().get("last", "the process ended each time")
            self._keep(job, "failed", f"given up after {attempts - 1} attempts: {last}")
            return
        start = time.monotonic()
        log("translating", series=job.name, attempt=attempts)
        try:
            done = self._translate(job.source, job.result, uids(superseded(job)))
            facts: dict[str, Any] = {
                "source_sha256": folder_sha256(job.source),
                "result_sha256": _flushed(job.result),
                "instances": sum(1 for _ in job.source.iterdir()),
                "received": round(job.changed(), 3),
                "translated": round(time.time(), 3),
                "seconds": round(time.monotonic() - start, 3),
                "model": done.model,
                "model_sha256": done.model_sha256,
                "device": done.device,
                "warnings": len(done.warnings),
            }
        except UnsuitableError as error:
            self._keep(job, SKIPPED, str(error))
        except InputError as error:
            self._keep(job, "refused", str(error), problem(error))
        except _PASSING as error:
            self._later(job, error)
        except Exception as error:
            self._keep(job, "failed", f"{type(error).__name__}: {error}", problem(error))
        else:
            self._metrics.translation.observe(facts["seconds"])
            accepted = self._config.warnings == SEND or job.record().get("accept_warnings")
            if done.warnings and not accepted:
                self._keep(job, "warned", "; ".join(done.warnings), facts)
                return
            self._metrics.series.labels("translated").inc()
            self._spool.move(job, "outbox", **facts)
            log("translated", series=job.name, seconds=facts["seconds"], device=done.device)

    def _keep(
        self, job: Job, outcome: str, reason: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Let the series stay here, with its reason."""
        shutil.rmtree(job.result, ignore_errors=True)
        facts = {"instances": sum(1 for _ in job.source.iterdir()), **(facts or {})}
        self._endings.keep(job, outcome, reason, **facts)

    def _later(self, job: Job, error: Exception) -> None:
        """Try again after a while."""
        shutil.rmtree(job.result, ignore_errors=True)
        wait = self._config.wait(job.record()["attempts"])
        facts = problem(error)
        log("not translated", level=logging.WARNING, series=job.name, **facts, retry_in=wait)
        self._spool.move(job, "ready", wait=wait, last=str(error))


def _flushed(folder: Path) -> str:
    """The hash of the files, which a power cut now leaves as they are."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    flush_folder(folder)
    flush_folder(folder.parent)
    return folder_sha256(folder)
