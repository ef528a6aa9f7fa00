"""A file that several processes add to, each after the other: a lock file beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.atomic import reason_of

STALE_SECONDS = 30.0
"""What is done under a lock takes some ms, so an older one is of a process that was killed."""

_PAUSE = 0.01  # seconds between two tries


@contextmanager
def alone_at(path: Path) -> Iterator[None]:
    """Read a file, change it and write it while no other process does, on any file system.

    The lock is a hidden file that is there as long as the block runs: made only if it is not there,
    which network file systems keep to as well.

    Raises:
        OutputError: The folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    seen, since = 0, time.monotonic()
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            made = _made(lock)
            # By this machine's clock alone, as that of a file server may differ.
            if made != seen:
                seen, since = made, time.monotonic()
            elif time.monotonic() - since > STALE_SECONDS:
                lock.unlink(missing_ok=True)
            time.sleep(_PAUSE)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _made(lock: Path) -> int:
    try:
        return lock.stat().st_mtime_ns
    except OSError:  # it has just gone
        return 0
