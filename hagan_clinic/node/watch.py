"""A folder whose DICOM files are taken into the spool, for senders without a network."""

import logging
from pathlib import Path

from hagan_clinic.node.intake import Intake, Verdict
from hagan_clinic.node.logs import log, problem

_KEPT = (Verdict.STORED, Verdict.DUPLICATE)


class Watch:
    """Takes each file that has stopped growing; it is removed once the spool has it.

    What is not an MR image, is synthetic or is damaged stays where it is.

    Args:
        folder: Looked through with its folders, links left alone.
        intake: Takes the files.
        most: Bytes of a file.
    """

    def __init__(self, folder: Path, intake: Intake, most: int) -> None:
        self._folder = folder
        self._intake = intake
        self._most = most
        self._seen: dict[Path, tuple[int, int]] = {}
        self._left: dict[Path, tuple[int, int]] = {}

    def __call__(self) -> None:
        """Look at the folder once."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            try:
                if path.is_symlink() or not path.is_file():
                    continue
                facts = path.stat()
                found[path] = facts.st_size, facts.st_mtime_ns
            except OSError:
                continue
        for path, state in found.items():
            if self._seen.get(path) == state and self._left.get(path) != state:
                self._take(path, state)
        self._seen = found
        self._left = {path: state for path, state in self._left.items() if path in found}

    def _take(self, path: Path, state: tuple[int, int]) -> None:
        if state[0] > self._most:
            log("not kept", level=logging.WARNING, why="oversized", caller="watch")
            self._left[path] = state
            return
        try:
            verdict, _ = self._intake.take(path.read_bytes())
            if verdict in _KEPT:
                path.unlink()
        except OSError as error:
            log("not kept", level=logging.WARNING, caller="watch", **problem(error))
            return
        if verdict in _KEPT:
            return
        log("not kept", level=logging.WARNING, why=verdict.value, caller="watch")
        if verdict is not Verdict.NO_SPACE:
            self._left[path] = state
