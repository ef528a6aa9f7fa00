"""Where results go: checked before the work begins, and all of them there at its end or none."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import SUFFIXES, atomic_path, suffix_of
from hagan_clinic.runtime.refusals import sidecar_path


@dataclass(frozen=True)
class Outputs:
    """The files of one translation; None where one is not wanted.

    Attributes:
        image: The synthesised volume; its sidecar lies beside it.
        uncertainty: The map of interval half-widths; its sidecar lies beside it.
        preview: A PNG.
        report: A JSON file.
    """

    image: Path | None = None
    uncertainty: Path | None = None
    preview: Path | None = None
    report: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Every file, the volume first and sidecars after their volumes."""
        paths = []
        for volume in (self.image, self.uncertainty):
            if volume is not None:
                paths += [volume, sidecar_path(volume)]
        return [*paths, *(path for path in (self.preview, self.report) if path is not None)]

    def check(self, inputs: Iterable[Path], *, overwrite: bool) -> None:
        """Find out before the work what would stop the writing after it.

        Args:
            inputs: Files that are read, which no output may replace.
            overwrite: Whether outputs may replace files.

        Raises:
            OutputError: An output's suffix or folder is wrong, it exists and may not be replaced,
                it is an input (under this or another name), or two outputs are one file.
        """
        self._check_suffixes()
        # A scan's own sidecar is not to be replaced by one that calls the scan synthetic.
        inputs = [file for scan in inputs for file in (scan, sidecar_path(scan))]
        seen: set[Path] = set()
        for path in self.paths:
            if not path.parent.is_dir():
                raise OutputError(
                    f"{path}: the folder {path.parent} does not exist; create it first"
                )
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise OutputError(
                    f"{path}: the folder {path.parent} cannot be written; choose another or "
                    "change its permissions"
                )
            for read in inputs:
                if _is_same_file(path, read):
                    raise OutputError(
                        f"{path}: this output is the input {read}; expected another path, as the "
                        "scan would be lost"
                    )
            if path.resolve() in seen:
                raise OutputError(f"{path}: two outputs have this path; give each its own")
            seen.add(path.resolve())
            if path.exists() and not overwrite:
                raise OutputError(f"{path}: exists already; choose another path or --overwrite")

    def _check_suffixes(self) -> None:
        for path, expected in (
            (self.image, SUFFIXES),
            (self.uncertainty, SUFFIXES),
            (self.preview, (".png",)),
            (self.report, (".json",)),
        ):
            if path is not None and suffix_of(path) not in expected:
                found = suffix_of(path) or "no suffix"
                raise OutputError(f"{path}: has {found}, expected one of {', '.join(expected)}")


@contextmanager
def all_or_none(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Temporary paths for all of `paths`; at the end they are moved there, the first one last.

    On any exception, an interrupt included, every path is left as it was, with its old file or
    none: who finds a new first file finds the others.

    Raises:
        OutputError: A file cannot be written.
    """
    targets = [path.resolve() for path in paths]
    new = [target for target in targets if not target.exists()]
    kept: dict[Path, Path] = {}
    temporaries: list[Path] = []
    try:
        with ExitStack() as stack:  # which ends its contexts last to first
            temporaries += [stack.enter_context(atomic_path(target)) for target in targets]
            yield temporaries
            for target in targets:
                if target not in new:
                    kept[target] = target.with_name(f".{secrets.token_hex(6)}.old")
                    _link_or_copy(target, kept[target])
    except BaseException as error:
        for target in targets:
            with suppress(OSError):  # which would hide what happened
                if target in new:
                    target.unlink(missing_ok=True)
                elif target in kept:
                    kept[target].replace(target)
        if isinstance(error, OutputError):
            told = str(error)
            for temporary, path in zip(temporaries, paths, strict=False):
                told = told.replace(str(temporary), str(path))
            raise OutputError(told) from error
        raise
    finally:
        for old in kept.values():
            with suppress(OSError):
                old.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        try:
            shutil.copy2(source, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise OutputError(
                f"{source}: cannot be kept until its successor is written ({error.strerror}); "
                "free space, or remove it yourself"
            ) from error


def _is_same_file(first: Path, second: Path) -> bool:
    """Whether both paths lead to one file, by links of either kind too."""
    try:
        return first.samefile(second)
    except OSError:
        return first.resolve() == second.resolve()
