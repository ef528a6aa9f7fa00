"""How instances come into the spool, each for good, and join what came of their series before."""

import filecmp
import os
import shutil
from pathlib import Path
from typing import Literal

from hagan_clinic.imageio.atomic import flush_folder
from hagan_clinic.node.job import Job
from hagan_clinic.node.spool import STATES, Spool
from hagan_clinic.node.superseded import begin_anew, supersede

Stored = Literal["stored", "duplicate"]


def adopt(spool: Spool, series_uid: str, instance_uid: str, file: Path) -> tuple[str, Stored]:
    """Keep an instance; when this returns, no crash and no power cut loses it.

    Args:
        spool: Where it is kept.
        series_uid: Of its series.
        instance_uid: Its own.
        file: In the folder `temporary`; moved from there if it is stored.

    Returns:
        Name of its series, and whether the very same instance was here already.

    Raises:
        OSError: It could not be kept (`ENOSPC`: the disk is full); nothing of it is left.
    """
    name = spool.name_of(series_uid)
    called = f"{spool.name_of(instance_uid)}.dcm"
    if _keeps(spool, name, called, file):
        return name, "duplicate"
    with file.open("r+b") as stream:
        os.fsync(stream.fileno())
    with spool.locked():
        source = Job(name, "incoming", spool.folder("incoming") / name).source
        if not source.is_dir():
            source.mkdir(parents=True, mode=0o700)
            flush_folder(source.parent)
            flush_folder(source.parent.parent)
        file.replace(source / called)
        # The open folder stays the same one when the series goes on meanwhile.
        descriptor = os.open(source, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return name, "stored"


def in_hand(spool: Spool, series_uid: str, instance_uid: str) -> Path | None:
    """The file of an instance whose series is being translated, waits to be sent or is sent."""
    name, called = spool.name_of(series_uid), f"{spool.name_of(instance_uid)}.dcm"
    for state in ("running", "outbox", "done"):
        path = spool.folder(state) / name / "source" / called
        if path.is_file():
            return path
    return None


def _keeps(spool: Spool, name: str, called: str, file: Path) -> bool:
    """Whether the very same instance is here, for good."""
    for state in STATES:
        try:
            path = spool.folder(state) / name / "source" / called
            # A rename between the states may hide it: it is then merely stored once more.
            if filecmp.cmp(path, file, shallow=False):
                # Named by another thread, or by a process that was killed before it flushed.
                for folder in list(path.parents)[:3]:
                    flush_folder(folder)
                return True
        except FileNotFoundError:
            continue
    return False


def complete(spool: Spool, name: str) -> Job | None:
    """Make an incoming series ready, with what came of it before.

    Slices that come late join the others, wherever those have got to, and all are translated
    again. Each step can be cut off and done again: the incoming folder goes last.

    Returns:
        The series; None while what came before is being translated or sent.
    """
    with spool.locked():
        fresh = Job(name, "incoming", spool.folder("incoming") / name)
        earlier = spool.earlier(name)
        if earlier is None:
            ready = spool.move(fresh, "ready")
            (ready.folder / "record.json").unlink(missing_ok=True)  # why it was held back
            return ready
        if earlier.state == "running" or spool.is_held(name):
            return None
        for file in fresh.source.iterdir():
            file.replace(earlier.source / file.name)
        flush_folder(earlier.source)
        supersede(earlier)
        begin_anew(earlier)
        ready = spool.move(earlier, "ready")
        shutil.rmtree(fresh.folder)
        flush_folder(spool.folder("incoming"))
        return ready
