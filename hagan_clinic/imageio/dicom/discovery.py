"""Finding the DICOM series in a folder, a file, a DICOMDIR or a zip."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom import archive
from hagan_clinic.imageio.dicom.headers import DamagedError, read_header
from hagan_clinic.imageio.dicom.series import Instance, Series

_Opened = Callable[[], BinaryIO]


@dataclass(frozen=True)
class Damaged:
    """A DICOM file that cannot be read whole.

    Attributes:
        name: Where it was found.
        reason: What is wrong with it.
        uid: Its Series Instance UID, if that much could be read.
    """

    name: str
    reason: str
    uid: str | None


@dataclass(frozen=True, eq=False)
class Found:
    """What there was.

    Attributes:
        series: By SeriesNumber, then UID.
        ignored: Name and reason of every file that is no part of a series.
        damaged: The DICOM files that cannot be read: a series that they may belong to is not
            whole.
    """

    series: tuple[Series, ...]
    ignored: tuple[tuple[str, str], ...] = ()
    damaged: tuple[Damaged, ...] = ()


def find_series(path: str | Path) -> Found:
    """Every DICOM series in a folder (nested, any file names), a file, a DICOMDIR or a zip.

    Args:
        path: Of the folder, file or archive. Links to files are followed, links to folders are
            not; an archive within a folder or an archive is not opened.

    Raises:
        InputError: If there is nothing at `path`, it holds no file, or it is one file that is
            neither DICOM nor a zip of files that stay in its folder.
    """
    path = Path(path)
    try:
        return _found(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _found(path: Path) -> Found:
    if path.is_dir():
        found = _sorted(_files(path))
        if not (found.series or found.ignored or found.damaged):
            raise InputError(f"{path}: is an empty folder, expected a DICOM series")
        return found
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    if not path.is_file():
        raise InputError(f"{path}: is not a regular file, expected DICOM")
    if archive.is_archive(path):
        return _sorted(archive.members(path))
    header = read_header(partial(_open, path), str(path))
    if _is_directory(header):
        return _sorted(_referenced(path, header))
    return _sorted(iter([(path.name, partial(_open, path))]))


def _files(folder: Path) -> Iterator[tuple[str, _Opened]]:
    """Name and opener of every regular file below a folder, in the order of their names."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file():  # a pipe would be waited for
                yield str(path.relative_to(folder)), partial(_open, path)


def _referenced(path: Path, directory: Dataset) -> Iterator[tuple[str, _Opened]]:
    """Name and opener of the files that a DICOMDIR refers to (PS3.3, F.3).

    Raises:
        InputError: If one of them lies outside its folder.
    """
    folder = path.parent.resolve()
    for record in directory.get("DirectoryRecordSequence") or []:
        told = record.get("ReferencedFileID") or []
        parts = [told] if isinstance(told, str) else [str(part) for part in told]
        if not parts:
            continue
        name = "/".join(parts)
        if not (folder / name).resolve().is_relative_to(folder):
            raise InputError(f"{path}: refers to {name!r}, outside its folder; do not trust it")
        yield name, partial(_open, folder / name)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _is_directory(header: Dataset) -> bool:
    return bool(header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage)


def _sorted(files: Iterator[tuple[str, _Opened]]) -> Found:
    """Read every header and put the instances under their series."""
    series: dict[str, list[Instance]] = {}
    ignored: list[tuple[str, str]] = []
    damaged: list[Damaged] = []
    for name, opened in files:
        try:
            header = read_header(opened, name)
        except DamagedError as error:
            damaged.append(Damaged(name, str(error), error.uid))
        except InputError as error:
            ignored.append((name, str(error)))
        except OSError as error:
            told = f"{name}: cannot be read ({error.strerror or type(error).__name__})"
            damaged.append(Damaged(name, told, None))
        else:
            uid = str(header.get("SeriesInstanceUID") or "")
            if _is_directory(header):
                ignored.append((name, f"{name}: is a DICOMDIR"))
            elif uid:
                series.setdefault(uid, []).append(Instance(name, opened, header))
            else:
                damaged.append(Damaged(name, f"{name}: has no SeriesInstanceUID", None))
    found = [Series(uid, tuple(instances)) for uid, instances in series.items()]
    found.sort(key=lambda one: (_number(one), one.uid))
    return Found(tuple(found), tuple(ignored), tuple(damaged))


def _number(series: Series) -> int:
    try:
        return int(series.header.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        return 0
