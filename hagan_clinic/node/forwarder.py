"""Delivers what is in the outbox: retried, in the order of arrival, each instance once.

Every instance that the archive took is noted at once; a restart goes on with the next. The one
that was under way at a crash is sent again, byte for byte the same, under the same UIDs.
"""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from hagan_clinic.imageio.dicom.rejection import rejection_note
from hagan_clinic.node.audit import audit, folder_sha256
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.delivery import CutOffError, RefusedError, Sender, UnreachableError
from hagan_clinic.node.dimse import DimseSender, reference_of
from hagan_clinic.node.endings import Endings, is_of_the_machine
from hagan_clinic.node.job import DamagedError, Job
from hagan_clinic.node.logs import log, problem
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.spool import Spool
from hagan_clinic.node.superseded import Delivered, delivered, sent, supersede, superseded

_COMMITTED, _FAILURES = 1, 2  # event types (PS3.4, J.3.3)


class Forwarder:
    """Sends the outbox to one archive.

    Args:
        spool: Where the results are.
        sender: Takes them to the archive.
        config: Of the node.
        metrics: Counts.
    """

    def __init__(self, spool: Spool, sender: Sender, config: NodeConfig, metrics: Metrics) -> None:
        self._spool = spool
        self._sender = sender
        self._config = config
        self._metrics = metrics
        self._endings = Endings(spool, metrics)
        self._failures = 0
        self._due = 0.0

    def __call__(self) -> None:
        """Deliver all that is in the outbox, unless the archive failed a short while ago."""
        if time.monotonic() < self._due:
            return
        for job in self._spool.jobs("outbox"):
            with self._endings.alone(job), self._spool.held(job) as there:
                if not there or not job.is_due():
                    continue
                try:
                    self._deliver(job)
                except UnreachableError as error:
                    self._back_off(job, error)
                    return
                except CutOffError as error:
                    self._cut_off(job, error)
                except RefusedError as error:
                    self._refused(job, str(error))
                except DamagedError:
                    raise
                except Exception as error:
                    # Nobody foresaw it: of this series perhaps, or of the network at this moment.
                    if is_of_the_machine(error):
                        raise
                    self._refused(job, f"{type(error).__name__}: {error}", problem(error))

    def report(self, event: int, information: Dataset) -> None:
        """What the archive says of a commitment that it was asked for."""
        with self._spool.locked():
            for job in self._spool.jobs("outbox"):
                if not _asked_for(job, str(information.TransactionUID)):
                    continue
                if event == _COMMITTED:
                    self._spool.note(job, commitment="committed")
                elif event == _FAILURES:
                    failed = {
                        str(item.ReferencedSOPInstanceUID) for item in information.FailedSOPSequence
                    }
                    self._send_again(job, failed)

    def _deliver(self, job: Job) -> None:
        files, there = _results(job), sent(job)
        rest = [path for path in files if path.name not in there]
        if rest or not files or len(there) > len(files):
            _check(job)
        if rest:
            if "sent_as" not in job.record():
                self._spool.note(job, sent_as=_series_of(rest[0]))
            with job.sent.open("a", encoding="ascii") as noted:

                def taken(path: Path) -> None:
                    noted.write(f"{path.name}\n")
                    noted.flush()
                    self._metrics.sent.inc()

                self._sender.store(rest, taken)
            self._failures = 0
        self._reject_superseded(job, files[0])
        if self._is_settled(job, files):
            self._finish(job, len(files))

    def _reject_superseded(self, job: Job, like: Path) -> None:
        """Tell the archive, which has the new result now, not to use the earlier ones."""
        done = job.record().get("rejected", [])
        for one in superseded(job):
            if self._config.reject_superseded and one.series not in done:
                why = f"Superseded by series {job.record().get('sent_as')}"
                self._reject(job, one, like, why)
                done = [*done, one.series]
                self._spool.note(job, rejected=done)

    def _reject(self, job: Job, result: Delivered, like: Path, why: str) -> None:
        """Send a rejection note; an archive that wants none, or gives up at it, does without."""
        note = rejection_note(
            dcmread(like, stop_before_pixels=True), result.series, result.numbers, why
        )
        path = job.folder / "rejection.dcm"
        note.save_as(path, enforce_file_format=True)
        outcome = "taken"
        try:
            self._sender.store([path], lambda _: None)
        except RefusedError:
            outcome = "refused"
        except CutOffError:
            tries = job.record().get("note_cut_off", 0) + 1
            self._spool.note(job, note_cut_off=tries)
            if tries <= self._config.refusals:
                raise
            outcome = "refused"
        self._metrics.rejection_notes.labels(outcome).inc()
        log("rejection note", series=job.name, outcome=outcome, instances=len(result.numbers))

    def _withdraw(self, job: Job) -> None:
        """Tell the archive not to use the part of a result that it took before it refused."""
        part = delivered(job)
        if part is None or not self._config.reject_superseded:
            return
        try:
            why = "Incomplete: the archive refused other instances of the series"
            self._reject(job, part, _results(job)[0], why)
        except (UnreachableError, CutOffError) as error:
            log("rejection note not sent", level=logging.WARNING, series=job.name, why=str(error))
            return
        # Sent again, it is another series: an archive may drop what was rejected before.
        supersede(job)

    def _in_part(self, job: Job) -> str:
        """What a reason adds where the archive has a part of the result."""
        taken = len(sent(job))
        self._spool.note(job, taken=taken)
        return f"; it has {taken} of {len(_results(job))} instances" if taken else ""

    def _is_settled(self, job: Job, files: Sequence[Path]) -> bool:
        """Whether the archive has committed itself, or will not."""
        record = job.record()
        if record.get("commitment"):
            return True
        if not self._config.commitment or not isinstance(self._sender, DimseSender):
            self._spool.note(job, commitment="not asked")
            return True
        now = time.time()
        since = record.get("commitment_since") or now
        if not since <= now <= since + self._config.commitment_wait:
            self._spool.note(job, commitment="not answered")
            log("commitment not answered", level=logging.WARNING, series=job.name)
            return True
        if record.get("commitment_asked"):
            return False
        transaction = str(generate_uid(prefix=None))
        # Noted first: the answer may come before the request returns.
        self._spool.note(job, commitment_asked=transaction, commitment_since=since)
        try:
            offered = self._sender.ask(transaction, [reference_of(path) for path in files])
        except (UnreachableError, CutOffError) as error:
            self._spool.note(job, commitment_asked=None)
            raise CutOffError(str(error)) from error  # others are not held up: it takes images
        if not offered:
            self._spool.note(job, commitment="not offered")
        return not offered

    def _finish(self, job: Job, instances: int) -> None:
        now = time.time()
        audit(self._spool, job, "sent")
        self._metrics.series.labels("sent").inc()
        done = self._spool.move(job, "done", outcome="sent", sent=instances, ended=now, last="")
        shutil.rmtree(done.result, ignore_errors=True)

    def _back_off(self, job: Job, error: UnreachableError) -> None:
        self._failures += 1
        wait = self._config.wait(self._failures)
        self._due = time.monotonic() + wait
        self._metrics.send_failures.labels("unreachable").inc()
        log("not sent", level=logging.WARNING, series=job.name, why=str(error), retry_in=wait)

    def _cut_off(self, job: Job, error: CutOffError) -> None:
        """Let this series wait, longer each time; it must not hold up the others."""
        times = job.record().get("cut_off", 0) + 1
        wait = self._config.wait(times)
        self._spool.note(job, cut_off=times, wait=wait, last=f"{error}{self._in_part(job)}")
        self._metrics.send_failures.labels("cut_off").inc()
        log("not sent", level=logging.WARNING, series=job.name, why=str(error), retry_in=wait)

    def _refused(self, job: Job, reason: str, logged: Mapping[str, str] | None = None) -> None:
        """Ask again later, but not for ever.

        Args:
            job: The series.
            reason: Kept beside it.
            logged: What the log may tell; the reason, if not given.
        """
        self._metrics.send_failures.labels("refused").inc()
        log("not sent", level=logging.WARNING, series=job.name, **(logged or {"why": reason}))
        if job.record().get("refusals", 0) >= self._config.refusals:
            self._withdraw(job)
        self._count_refusal(job, f"{reason}{self._in_part(job)}")

    def _count_refusal(self, job: Job, reason: str, **facts: Any) -> None:
        refusals = job.record().get("refusals", 0) + 1
        if refusals > self._config.refusals:
            self._endings.keep(job, "rejected", reason, **facts)
            return
        wait = self._config.wait(refusals)
        self._spool.note(job, refusals=refusals, wait=wait, last=reason, **facts)

    def _send_again(self, job: Job, failed: set[str]) -> None:
        """Send what the archive has not kept."""
        log("not committed", level=logging.WARNING, series=job.name, instances=len(failed))
        kept = [
            path.name
            for path in job.result.iterdir()
            if path.name in sent(job) and reference_of(path).sop_instance not in failed
        ]
        job.sent.write_text("".join(f"{name}\n" for name in kept), "ascii")
        reason = f"the archive did not commit itself to {len(failed)} instances"
        self._count_refusal(job, reason, commitment_asked=None, commitment_since=None)


def _results(job: Job) -> list[Path]:
    try:
        return sorted(job.result.iterdir())
    except OSError as error:
        raise DamagedError(f"the result cannot be read ({error.strerror})") from error


def _check(job: Job) -> None:
    """Refuse to send what is not, byte for byte, what was translated.

    Raises:
        DamagedError: The result is another by now.
    """
    try:
        found = folder_sha256(job.result)
    except OSError as error:
        raise DamagedError(f"the result cannot be read ({error.strerror})") from error
    if found != job.record().get("result_sha256"):
        raise DamagedError(
            "the result is not what was translated, by its sha256: the disk may be failing; "
            "`hagan-clinic spool retry` translates it again"
        )


def _asked_for(job: Job, transaction: str) -> bool:
    try:
        return job.record().get("commitment_asked") == transaction
    except DamagedError:  # its next turn sets it aside
        return False


def _series_of(path: Path) -> str:
    header = dcmread(path, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
    return str(header.SeriesInstanceUID)
