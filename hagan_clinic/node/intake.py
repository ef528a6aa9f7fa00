"""What the node does with an instance, however it came: keep it, or say why not."""

import errno
import shutil
import threading
import time
from enum import Enum
from pathlib import Path

from pydicom import Dataset

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.fingerprint import shows_the_same
from hagan_clinic.imageio.dicom.headers import MR_STORAGE, read_header
from hagan_clinic.imageio.dicom.values import text
from hagan_clinic.node.arrivals import adopt, in_hand
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.spool import Spool

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class IntakeVerdict(Enum):
    """What became of an instance."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    SYNTHETIC = "synthetic"
    REFUSED = "refused"
    NO_SPACE = "no_space"


class Intake:
    """Checks and keeps instances, and knows when each series was last heard of.

    Args:
        spool: Where they are kept.
        metrics: Counts them.
        min_free: Bytes of the disk that are left free.
    """

    def __init__(self, spool: Spool, metrics: Metrics, min_free: int) -> None:
        self.spool = spool
        self.metrics = metrics
        self._min_free = min_free
        self._heard: dict[str, float] = {}
        self._senders: dict[str, set[threading.Thread]] = {}
        self._guard = threading.Lock()

    def take(self, file: Path) -> tuple[IntakeVerdict, str]:
        """Keep a DICOM file; STORED and DUPLICATE promise that no crash loses it.

        Args:
            file: In `spool.temporary`; moved from there if it is stored, else left.

        Returns:
            The verdict, and the name of the series ("" where it is not kept).

        Raises:
            OSError: It cannot be written, but not for want of space.
        """
        verdict, name = self._take(file)
        self.metrics.received.labels(verdict.value).inc()
        return verdict, name

    def turn_down(self) -> tuple[IntakeVerdict, str]:
        """Count an instance for which there was no room while it came."""
        self.metrics.received.labels(IntakeVerdict.NO_SPACE.value).inc()
        return IntakeVerdict.NO_SPACE, ""

    def _take(self, file: Path) -> tuple[IntakeVerdict, str]:
        try:
            header = read_header(lambda: file.open("rb"), "instance")
        except InputError:
            return IntakeVerdict.REFUSED, ""
        if header.file_meta.get("MediaStorageSOPClassUID") not in MR_STORAGE:
            return IntakeVerdict.REFUSED, ""
        # What this node sends comes back where an archive forwards all that it is given.
        if text(header, "SyntheticData").upper() == "YES":
            return IntakeVerdict.SYNTHETIC, ""
        series, instance = text(header, "SeriesInstanceUID"), text(header, "SOPInstanceUID")
        if not series or not instance:
            return IntakeVerdict.REFUSED, ""
        if shutil.disk_usage(self.spool.root).free < self._min_free:
            return IntakeVerdict.NO_SPACE, ""
        # In another encoding or with a corrected header it would make the same result once more.
        before = in_hand(self.spool, series, instance)
        if before and _is_of_the_same(before, header) and shows_the_same(before, file):
            return IntakeVerdict.DUPLICATE, self.spool.name_of(series)
        try:
            name, stored = adopt(self.spool, series, instance, file)
        except OSError as error:
            if error.errno in NO_SPACE:
                return IntakeVerdict.NO_SPACE, ""
            raise
        if stored == "stored":
            with self._guard:
                self._heard[name] = time.monotonic()
        return IntakeVerdict(stored), name

    def hear(self, name: str) -> None:
        """More of an incoming series is arriving: it is not complete yet."""
        with self._guard:
            if name in self._heard:
                self._heard[name] = time.monotonic()

    def hold(self, name: str, sender: threading.Thread) -> None:
        """A sender that has sent of a series may send more of it, as long as it is at work."""
        with self._guard:
            if sender in self._senders.get(name, ()):
                return
            self._senders.setdefault(name, set()).add(sender)
            # Those that have gone are let go of, with all that an association holds.
            alive = {
                one: set(filter(threading.Thread.is_alive, s)) for one, s in self._senders.items()
            }
            self._senders = {one: senders for one, senders in alive.items() if senders}

    def is_held(self, name: str) -> bool:
        """Whether one that has sent of a series is still at work."""
        with self._guard:
            return any(sender.is_alive() for sender in self._senders.get(name, ()))

    def heard(self, name: str) -> float:
        """When a series was last heard of, in seconds of a monotonic clock."""
        with self._guard:
            return self._heard.setdefault(name, time.monotonic())

    def silent_for(self, name: str) -> float:
        """Seconds since a series was last heard of; one never heard of is heard of now."""
        return time.monotonic() - self.heard(name)

    def forget(self, name: str) -> None:
        """The series has gone on."""
        with self._guard:
            self._heard.pop(name, None)
            self._senders.pop(name, None)


def _is_of_the_same(before: Path, header: Dataset) -> bool:
    """Whether an instance is filed where this header says; its result is filed there too."""
    try:
        filed = read_header(lambda: before.open("rb"), "instance")
    except (InputError, OSError):  # it goes on, or cannot be read: keep what has come
        return False
    keywords = ("PatientID", "StudyInstanceUID")
    return all(text(filed, keyword) == text(header, keyword) for keyword in keywords)
