"""A folder whose DICOM files are taken into the spool, for senders without a network."""

import logging
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from hagan_clinic.node.intake import NO_SPACE, Intake, IntakeVerdict
from hagan_clinic.node.logs import log, problem

_KEPT = (IntakeVerdict.STORED, IntakeVerdict.DUPLICATE)

_State = tuple[int, int, int]
"""Inode, size and time of the last change of a file."""


class Watch:
    """Takes each file that has stopped changing; it is removed once the spool has it.

    What is not an MR image, is synthetic or is damaged stays where it is, as does what cannot be
    removed; each is looked at once. What cannot be read or kept is tried again. A sender that may
    pause for longer than `silence` in the middle of a file writes it elsewhere and renames it into
    here.

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
        for path, (state, since) in [*seen.items()]:
            if now - since >= self._silence and self._left.get(path) != state:
                self._take(path, state, now)

    def _take(self, path: Path, state: _State, now: float) -> None:
        facts: dict[str, Any] = {"why": "oversized"}
        again = False
        try:
            if state[1] <= self._most:
                verdict = self._taken(path)
                if verdict in _KEPT:
                    self._remove(path, state)
                    return
                facts = {"why": verdict.value}
                again = verdict is IntakeVerdict.NO_SPACE
        except OSError as error:
            facts, again = problem(error), True
        log("not kept", level=logging.WARNING, caller="watch", **facts)
        if again:
            self._seen[path] = state, now
        else:
            self._left[path] = state

    def _taken(self, path: Path) -> IntakeVerdict:
        copy = self._intake.spool.temporary / secrets.token_hex(8)
        try:
            shutil.copyfile(path, copy)
            return self._intake.take(copy)[0]
        except OSError as error:
            if error.errno in NO_SPACE:
                return IntakeVerdict.NO_SPACE
            raise
        finally:
            copy.unlink(missing_ok=True)

    def _remove(self, path: Path, state: _State) -> None:
        """Remove what the spool has, unless another file has its name by now."""
        try:
            if _state(path) == state:
                path.unlink()
        except OSError as error:
            log("not removed", level=logging.WARNING, caller="watch", **problem(error))
            self._left[path] = state


def _state(path: Path) -> _State:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
