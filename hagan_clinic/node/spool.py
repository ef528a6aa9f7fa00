"""The spool: what the node holds, as folders whose place is their state.

A series is a folder `STATE/NAME`, and a change of state is one rename, so at any instant it is in
one state, whole. `NAME` is a keyed hash of the Series Instance UID: it tells nothing of the
patient, and the same series comes to the same name again.

    incoming  instances come in        outbox  translated, to be sent
    ready     complete, waits          done    sent (with its source, for slices that come late)
    running   is being translated      failed  kept with its reason
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio.atomic import flush_folder, write_bytes, write_text
from hagan_clinic.node.job import Job

STATES = ("incoming", "ready", "running", "outbox", "done", "failed")

Stored = Literal["stored", "duplicate"]


class Spool:
    """The folders of one node.

    Threads of the listener and the command `spool` work on it at the same time: each change is
    made under a lock that holds between processes too.

    Args:
        root: The folder; it is made if need be, for its owner alone.

    Raises:
        OutputError: It cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._threads = threading.RLock()
        self._depth = 0
        self._held: set[str] = set()
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
        for entry in os.scandir(self.folder(state)):
            job = Job(entry.name, state, Path(entry.path))
            try:
                found.append((job.changed(), job))
            except FileNotFoundError:  # it has gone on, or is just being made
                continue
        return [job for _, job in sorted(found, key=lambda pair: pair[0])]

    def find(self, name: str, states: tuple[str, ...] = STATES) -> Job:
        """The series whose name begins so.

        Raises:
            InputError: None or several do.
        """
        found = [job for state in states for job in self.jobs(state) if job.name.startswith(name)]
        if len({job.name for job in found}) != 1:
            raise InputError(
                f"{len(found)} series in {', '.join(states)} have a name that begins with "
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

    def store(self, series_uid: str, instance_uid: str, content: bytes) -> tuple[str, Stored]:
        """Keep an instance; when this returns, no crash and no power cut loses it.

        Returns:
            Name of its series, and whether the very same instance was here already.

        Raises:
            OSError: It could not be kept (`ENOSPC`: the disk is full); nothing of it is left.
        """
        name = self.name_of(series_uid)
        file = f"{self.name_of(instance_uid)}.dcm"
        if self._keeps(name, file, content):
            return name, "duplicate"
        temporary = self.root / "tmp" / secrets.token_hex(8)
        try:
            with temporary.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            with self.locked():
                source = Job(name, "incoming", self.folder("incoming") / name).source
                if not source.is_dir():
                    source.mkdir(parents=True, mode=0o700)
                    flush_folder(source.parent)
                    flush_folder(source.parent.parent)
                temporary.replace(source / file)
                # The open folder stays the same one when the series goes on meanwhile.
                descriptor = os.open(source, os.O_RDONLY)
        finally:
            temporary.unlink(missing_ok=True)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return name, "stored"

    def _keeps(self, name: str, file: str, content: bytes) -> bool:
        """Whether the very same instance is here, for good."""
        for state in STATES:
            try:
                path = self.folder(state) / name / "source" / file
                # A rename between the states may hide it: it is then merely stored once more.
                if path.stat().st_size == len(content) and path.read_bytes() == content:
                    # Named by another thread, or by a process that was killed before it flushed.
                    for folder in list(path.parents)[:3]:
                        flush_folder(folder)
                    return True
            except FileNotFoundError:
                continue
        return False

    def complete(self, name: str) -> Job | None:
        """Make an incoming series ready, with what came of it before.

        Slices that come late join the others, wherever those have got to, and all are translated
        again. Each step can be cut off and done again: the incoming folder goes last.

        Returns:
            The series; None while it is being translated or sent, and for one to which nothing
            new has come.
        """
        with self.locked():
            fresh = Job(name, "incoming", self.folder("incoming") / name)
            earlier = self._later_state(name)
            if earlier is None:
                return self._rename(fresh, "ready")
            if earlier.state == "running" or name in self._held:
                return None
            for file in fresh.source.iterdir():
                file.replace(earlier.source / file.name)
            flush_folder(earlier.source)
            _clear(earlier, keep=("source",))
            ready = self._rename(earlier, "ready")
            shutil.rmtree(fresh.folder)
            flush_folder(self.folder("incoming"))
            return ready

    def take(self) -> Job | None:
        """The next ready series, now running; its attempts are counted before it is tried."""
        with self.locked():
            for job in self.jobs("ready"):
                if job.is_due():
                    self.note(job, attempts=job.record().get("attempts", 0) + 1)
                    return self._rename(job, "running")
        return None

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
        """Have a failed or done series translated and sent again.

        Raises:
            InputError: There is none of that name.
        """
        with self.locked():
            job = self.find(name, ("failed", "done"))
            _clear(job, keep=("source",))
            return self.move(job, "ready", **facts)

    def purge(self, job: Job) -> None:
        """Delete a series that is failed, done or waits to be sent."""
        with self.locked():
            if job.state not in ("failed", "done", "outbox"):
                raise ValueError(f"{job.state} series are not purged")
            if job.folder.is_dir():
                # Renamed first, so that nothing takes half of it for a series.
                gone = self.root / "tmp" / secrets.token_hex(8)
                job.folder.rename(gone)
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

    def recover(self) -> int:
        """Begin again what a stop or crash cut off.

        Returns:
            The number of series whose translation begins again.
        """
        with self.locked():
            for path in (self.root / "tmp").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            running = self.jobs("running")
            for job in running:
                self.put_back(job)
        return len(running)

    def _later_state(self, name: str) -> Job | None:
        for state in STATES[1:]:
            folder = self.folder(state) / name
            if folder.is_dir():
                return Job(name, state, folder)
        return None

    def _rename(self, job: Job, state: str) -> Job:
        target = self.folder(state) / job.name
        job.folder.rename(target)
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


def _clear(job: Job, keep: tuple[str, ...]) -> None:
    for path in job.folder.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def counts(spool: Spool) -> Mapping[str, int]:
    """Number of series in each state."""
    return {state: sum(1 for _ in os.scandir(spool.folder(state))) for state in STATES}
