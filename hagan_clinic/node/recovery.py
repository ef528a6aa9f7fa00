"""What a start of the node does with what a stop or a crash left."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

from hagan_clinic.node.job import Job
from hagan_clinic.node.spool import STATES, Spool


def recover(spool: Spool) -> int:
    """Begin again what a stop or crash cut off, and remove what it left half made.

    Returns:
        The number of series whose translation begins again.
    """
    with spool.locked():
        for path in spool.temporary.iterdir():
            _remove(path)
        for entry in spool.entries("incoming"):
            # An empty one beside an earlier state of its series has slices yet to be joined.
            begun = not _holds_files(Path(entry.path) / "source")
            if begun and spool.earlier(entry.name) is None:
                _remove(Path(entry.path))
        for state in STATES:
            for job in spool.jobs(state):
                _remove_half_made(job)
        running = spool.jobs("running")
        for job in running:
            try:
                spool.put_back(job)
            except OSError as error:
                reason = f"cannot begin again ({error.strerror})"
                spool.set_aside(job, outcome="failed", reason=reason, ended=time.time())
    return len(running)


def _remove(path: Path) -> None:
    """Remove a file or folder, or leave it: what cannot be removed must not stop the node."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def _remove_half_made(job: Job) -> None:
    """Remove what was being written beside its place when the process ended."""
    with suppress(OSError):
        for path in job.folder.glob(".*"):
            _remove(path)


def _holds_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError:  # then it is not for us to say
        return True
