"""Where results go: checked before the work begins, and all of them there at its end or none."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import SUFFIXES, atomic_folder, atomic_path, reason_of, suffix_of
from hagan_clinic.imageio.output_guard import check_output
from hagan_clinic.imageio.sidecar import sidecar_path


@dataclass(frozen=True)
class Outputs:
    """The files of one translation; None where one is not wanted.

    Attributes:
        image: The synthesised volume: a file with its sidecar beside it, or a folder for a DICOM
            series, which tells everything in its headers.
        uncertainty: The map of interval half-widths, likewise.
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
                paths += [volume] if is_folder(volume) else [volume, sidecar_path(volume)]
        return [*paths, *(path for path in (self.preview, self.report) if path is not None)]

    @property
    def series(self) -> list[Path]:
        """The folders for DICOM series among them."""
        return [path for path in self.paths if is_folder(path)]

    def check(self, inputs: Iterable[Path], *, overwrite: bool, from_series: bool = False) -> None:
        """Find out before the work what would stop the writing after it.

        Args:
            inputs: Files and folders that are read, which no output may replace.
            overwrite: Whether outputs may replace files.
            from_series: There is a DICOM series to derive one from.

        Raises:
            OutputError: An output's suffix or folder is wrong, it exists and may not be replaced,
                it is an input (under this or another name), or two outputs are one file.
        """
        self._check_suffixes(from_series)
        # A scan's own sidecar is not to be replaced by one that calls the scan synthetic.
        inputs = list(inputs)
        inputs += [sidecar_path(scan) for scan in inputs if suffix_of(scan) in SUFFIXES]
        seen: set[Path] = set()
        for path in self.paths:
            check_output(path, inputs, overwrite=overwrite or is_folder(path))
            if is_folder(path):
                _check_series_folder(path, inputs, overwrite=overwrite)
                if inside := [one for one in self.paths if path.resolve() in one.resolve().parents]:
                    raise OutputError(
                        f"{inside[0]}: lies in {path}, which is only for the files of a DICOM "
                        "series; choose another folder"
                    )
            if path.resolve() in seen:
                raise OutputError(f"{path}: two outputs have this path; give each its own")
            seen.add(path.resolve())

    def _check_suffixes(self, from_series: bool) -> None:
        for path, expected in (
            (self.image, SUFFIXES),
            (self.uncertainty, SUFFIXES),
            (self.preview, (".png",)),
            (self.report, (".json",)),
        ):
            if path is None or suffix_of(path) in expected:
                continue
            found = suffix_of(path) or "no suffix"
            message = f"{path}: has {found}, expected one of {', '.join(expected)}"
            if expected is not SUFFIXES:
                raise OutputError(message)
            if not is_folder(path):
                raise OutputError(f"{message}, or no suffix for a folder of DICOM")
            if not from_series:
                raise OutputError(
                    f"{message}; a folder of DICOM needs a DICOM series as the scan, or "
                    "--dicom-like"
                )


def is_folder(path: Path) -> bool:
    """Whether an output is a folder, for a DICOM series: it is one, or has no suffix."""
    return is_directory(path) or not suffix_of(path)


def is_directory(path: Path) -> bool:
    """`Path.is_dir`, which raises an error for a name that the file system does not take."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _check_series_folder(path: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse a folder in which something would be lost, or which a scan is read from."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file, expected a folder for a DICOM series")
    place = path.resolve()
    for read in inputs:
        read = read.resolve()
        if place in read.parents or (read.is_dir() and read in place.parents):
            raise OutputError(
                f"{path}: lies in an input, or an input lies in it; expected a separate folder"
            )
    there = list(path.iterdir()) if path.is_dir() else []
    if there and not overwrite:
        raise OutputError(f"{path}: is not empty; choose another folder or --overwrite")
    if other := [one for one in there if one.suffix.lower() != ".dcm" or not one.is_file()]:
        raise OutputError(
            f"{path}: holds {other[0].name} besides .dcm files, and --overwrite only replaces a "
            "series; choose another folder"
        )


@contextmanager
def all_or_none(paths: Sequence[Path], *, overwrite: bool = True) -> Iterator[list[Path]]:
    """Temporary paths for all of `paths`; at the end they are moved there, the first one last.

    On any exception, an interrupt included, every path is left as it was, with its old file or
    none: who finds a new first file finds the others.

    Args:
        paths: Files, and folders as of `is_folder`, for which there are empty temporary ones.
        overwrite: Replace what stands there. Otherwise nothing but an empty folder may, also at
            the end: of two runs that write to one path, the second fails.

    Raises:
        OutputError: A file cannot be written, or may not be replaced.
    """
    targets = [path.resolve() for path in paths]
    new = [target for target in targets if not target.exists()]
    folders = [target for target in targets if is_folder(target)]
    kept: dict[Path, Path] = {}
    emptied: list[Path] = []
    ours: dict[Path, int] = {}
    temporaries: list[Path] = []
    try:
        with ExitStack() as stack:  # which ends its contexts last to first
            temporaries += [
                stack.enter_context(
                    atomic_folder(target)
                    if target in folders
                    else atomic_path(target, replace=overwrite)
                )
                for target in targets
            ]
            yield temporaries
            ours = {
                target: temporary.stat().st_ino
                for target, temporary in zip(targets, temporaries, strict=True)
                if temporary.exists()
            }
            for target in targets:
                if target not in new and target in folders and not overwrite:
                    _remove_empty(target)
                    emptied.append(target)
                elif target not in new:
                    kept[target] = target.with_name(f".{secrets.token_hex(6)}.old")
                    if target in folders:
                        target.replace(kept[target])
                    else:
                        _link_or_copy(target, kept[target])
    except BaseException as error:
        for target in targets:
            with suppress(OSError):  # which would hide what happened
                # What another run has put there meanwhile stays.
                placed = target.exists() and target.stat().st_ino == ours.get(target)
                if placed and (target not in kept or target in folders):
                    _remove(target)
                if target in kept:
                    kept[target].replace(target)
                if target in emptied and not target.exists():
                    target.mkdir()
        if isinstance(error, OutputError):
            message = str(error)
            for temporary, path in zip(temporaries, paths, strict=False):
                message = message.replace(str(temporary), str(path))
            raise OutputError(message) from error
        raise
    finally:
        for old in kept.values():
            with suppress(OSError):
                _remove(old)


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write JSON that people can read."""
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason_of(error)}") from error


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
