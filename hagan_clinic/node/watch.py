"""A folder whose DICOM files are taken into the spool, for senders without a network."""

import logging
import time
from pathlib import Path

from hagan_clinic.node.intake import Intake, Verdict
from hagan_clinic.node.logs import log, problem

_KEPT = (Verdict.STORED, Verdict.DUPLICATE)

_State = tuple[int, int, int]
"""Inode, size and time of the last change of a file."""


class Watch:
    """Takes each file that has stopped changing; it is removed once the spool has it.

    What is not an MR image, is synthetic or is damaged stays where it is. A sender that may pause
    for longer than `silence` in the middle of a file writes it elsewhere and renames it into here.

    Args:
        folder: Looked through with its folders, links left alone.
        intake: Takes the files.
        silence: Seconds for which a file stays as it is before it is taken.
        most: Bytes of a file.
    """

    def __init__(self, folder: Path, intake: Intake, silence: float, most: int) -> None:
        self._folder = folder
        self._intake = intake
        self._silence = silence
        self._most = most
        self._seen: dict[Path, tuple[_State, float]] = {}
        self._left: dict[Path, _State] = {}

    def __call__(self) -> None:
        """Look at the folder once."""
        now = time.monotonic()
        seen = {}
        for path in sorted(self._folder.rglob("*")):
            try:
                if path.is_symlink() or not path.is_file():
                    continue
                state = _state(path)
            except OSError:
                continue
            before, since = self._seen.get(path, (None, now))
            seen[path] = (state, since if state == before else now)
        self._seen = seen
        self._left = {path: state for path, state in self._left.items() if path in seen}
        for path, (state, since) in seen.items():
            if now - since >= self._silence and self._left.get(path) != state:
                self._take(path, state)

    def _take(self, path: Path, state: _State) -> None:
        why = "oversized"
        try:
            if state[1] <= self._most:
                verdict, _ = self._intake.take(path.read_bytes())
                if verdict in _KEPT:
                    if _state(path) == state:  # not another file of that name by now
                        path.unlink()
                    return
                if verdict is Verdict.NO_SPACE:
                    log("not kept", level=logging.WARNING, why=verdict.value, caller="watch")
                    return
                why = verdict.value
        except OSError as error:
            log("not kept", level=logging.WARNING, caller="watch", **problem(error))
            return
        log("not kept", level=logging.WARNING, why=why, caller="watch")
        self._left[path] = state


def _state(path: Path) -> _State:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
