"""The spool: what the node holds, as folders whose place is their state.

A series is a folder `STATE/NAME`, and a change of state is one rename, so at any instant it is in
one state, whole. `NAME` is a keyed hash of the Series Instance UID: it tells nothing of the
patient, and the same series comes to the same name again.

    incoming  instances come in        outbox  translated, to be sent
    ready     complete, waits          done    sent (with its source, for slices that come late)
    running   is being translated      skipped is not for this model
                                       failed  kept with its reason: someone must look

What else lies in a folder of states is none of the node's, and is left alone.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio.atomic import flush_folder, write_bytes, write_text
from hagan_clinic.node.incomplete import is_incomplete
from hagan_clinic.node.job import DamagedError, Job
from hagan_clinic.node.posix import fcntl
from hagan_clinic.node.superseded import begin_anew

STATES = ("incoming", "ready", "running", "outbox", "done", "skipped", "failed")
ENDED = ("done", "skipped", "failed")

_NAME = re.compile(r"[0-9a-f]{24}")
_STUCK_SECONDS = 60.0


class Spool:
    """The folders of one node.

    Threads of the listener and the command `spool` work on it at the same time: each change is
    made under a lock that holds between processes too.

    Args:
        root: The folder; made where missing, for its owner alone.

    Raises:
        OutputError: It cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._threads = threading.RLock()
        self._depth = 0
        self._held: set[str] = set()
        self._stuck: dict[str, float] = {}
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in (*STATES, "tmp"):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
            self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            with self.locked():
                self._key = self._read_key()
            flush_folder(self.root)
        except OSError as error:
            raise OutputError(f"cannot use the spool {root}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the folder, so that its disk can be unmounted."""
        os.close(self._lock)

    def name_of(self, series_uid: str) -> str:
        """The folder's name of a series."""
        return hashlib.blake2b(series_uid.encode(), key=self._key, digest_size=12).hexdigest()

    def folder(self, state: str) -> Path:
        """The folder of a state."""
        return self.root / state

    def jobs(self, state: str) -> list[Job]:
        """The series in a state, those whose instances came first, first."""
        found = []
        for entry in self.entries(state):
            if self._stuck.get(entry.name, 0.0) > time.monotonic():
                continue
            job = Job(entry.name, state, Path(entry.path))
            try:
                found.append((job.changed(), job))
            except OSError:
                # Gone on or just being made; else who works at it will meet what is wrong.
                if state != "incoming" and job.folder.is_dir():
                    found.append((0.0, job))
        return [job for _, job in sorted(found, key=lambda pair: pair[0])]

    def count(self, state: str) -> int:
        """Number of series in a state."""
        return sum(1 for _ in self.entries(state))

    def stuck(self) -> int:
        """Number of series that can neither go on nor be set aside; each is tried again."""
        for name in list(self._stuck):
            if not any((self.folder(state) / name).is_dir() for state in STATES):
                self._stuck.pop(name, None)
        return len(self._stuck)

    def was_stuck(self, job: Job) -> bool:
        """Whether it could not be set aside before."""
        return job.name in self._stuck

    def find(self, name: str, states: tuple[str, ...] = STATES) -> Job:
        """The series whose name begins so.

        Raises:
            InputError: None or several do.
        """
        found = [job for state in states for job in self.jobs(state) if job.name.startswith(name)]
        if len({job.name for job in found}) != 1:
            raise InputError(
                f"{len(found)} series in {', '.join(states)} have names that begin with "
                f"{name!r}, expected one; `hagan-clinic spool show` lists them"
            )
        return found[-1]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only listener of this spool.

        Raises:
            OutputError: Another one has it.
        """
        descriptor = os.open(self.root / "listener", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OutputError(
                f"the spool {self.root} is in use by another listener; stop it or give another"
            ) from None
        try:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other thread or process change the spool meanwhile."""
        with self._threads:
            if self._depth == 0:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    fcntl.flock(self._lock, fcntl.LOCK_UN)

    @property
    def temporary(self) -> Path:
        """The folder of files that are being written; what is in it at a start goes."""
        return self.root / "tmp"

    def take(self, job: Job) -> Job | None:
        """A ready series, now running; its attempts are counted before it is tried.

        Returns:
            None where it waits, or has gone.
        """
        with self.locked():
            if not (job.folder.is_dir() and job.is_due()):
                return None
            self.note(job, attempts=job.record().get("attempts", 0) + 1)
            return self._rename(job, "running")

    def set_aside(self, job: Job, **facts: Any) -> bool:
        """Let a series fail, whatever is wrong with its files, with what is still known of it.

        One that has gone, to another state or for good, is let be.

        Returns:
            Whether it could be moved; if not, `jobs` leaves it out for a while.
        """
        with self.locked():
            if not job.folder.is_dir():
                return True
            try:
                known = job.record()
            except DamagedError:
                known = {}
            try:
                if job.state != "failed":
                    job = self._rename(job, "failed")
                record = job.folder / "record.json"
                if record.is_dir():
                    shutil.rmtree(record)
                write_text(json.dumps({**known, **facts}), record)
            except (OSError, OutputError):
                self._stuck[job.name] = time.monotonic() + _STUCK_SECONDS
                return False
            self._stuck.pop(job.name, None)  # that was in `failed` already
            return True

    def put_back(self, job: Job) -> None:
        """Let a running series be ready as it was, without a word."""
        with self.locked():
            if job.folder.is_dir():
                shutil.rmtree(job.result, ignore_errors=True)
                self._rename(job, "ready")

    def move(self, job: Job, state: str, **facts: Any) -> Job:
        """Note the facts, then let the series be in `state`."""
        with self.locked():
            if facts:
                self.note(job, **facts)
            return self._rename(job, state)

    def note(self, job: Job, *, wait: float | None = None, **facts: Any) -> None:
        """Add to the record of a series, and let it wait for so many seconds."""
        if wait is not None:
            now = time.time()
            facts["wait"] = now, now + wait
        with self.locked():
            write_text(json.dumps({**job.record(), **facts}), job.folder / "record.json")

    def retry(self, name: str, **facts: Any) -> Job:
        """Have a series that has come to its end translated and sent again.

        Raises:
            InputError: There is none of that name.
        """
        with self.locked():
            job = self.find(name, ENDED)
            begin_anew(job)
            return self.move(job, "ready", **facts)

    def release(self, name: str) -> Job:
        """Take an incoming series for complete now.

        Args:
            name: Of the series, or the beginning of it, or its Series Instance UID.

        Raises:
            InputError: There is none of that name.
        """
        with self.locked():
            job = self.find(self.name_of(name) if "." in name else name, ("incoming",))
            self.note(job, released=True)
            return job

    def purge(self, job: Job) -> None:
        """Delete a series that has come to its end, is held back or waits to be sent."""
        with self.locked():
            if job.state not in (*ENDED, "outbox") and not is_incomplete(job):
                raise ValueError(f"{job.state} series are not purged")
            if job.folder.is_dir():
                # Renamed first, so that nothing takes half of it for a series.
                gone = self.temporary / secrets.token_hex(8)
                job.folder.rename(gone)
                self._stuck.pop(job.name, None)
                shutil.rmtree(gone)

    @contextmanager
    def held(self, job: Job) -> Iterator[bool]:
        """Let late slices wait while the series is being sent.

        Yields:
            Whether it is still there.
        """
        with self.locked():
            there = job.folder.is_dir()
            self._held.add(job.name)
        try:
            yield there
        finally:
            self._held.discard(job.name)

    def is_held(self, name: str) -> bool:
        """Whether a series is being sent."""
        return name in self._held

    def entries(self, state: str) -> Iterator["os.DirEntry[str]"]:
        """The folders of series in a state; files, links and other folders are strays."""
        for entry in os.scandir(self.folder(state)):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield entry

    def earlier(self, name: str) -> Job | None:
        """What came before of a series that comes in, if it has gone on."""
        for state in STATES[1:]:
            folder = self.folder(state) / name
            if folder.is_dir():
                return Job(name, state, folder)
        return None

    def _rename(self, job: Job, state: str) -> Job:
        target = self.folder(state) / job.name
        job.folder.rename(target)
        self._stuck.pop(job.name, None)
        flush_folder(self.folder(state))
        flush_folder(self.folder(job.state))
        return Job(job.name, state, target)

    def _read_key(self) -> bytes:
        """The secret of this spool's names, made once."""
        path = self.root / "key"
        if not path.exists():
            write_bytes(secrets.token_bytes(32), path)
            path.chmod(0o600)
        return path.read_bytes()
