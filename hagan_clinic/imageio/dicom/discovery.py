"""Finding the DICOM series in a folder, a file, a DICOMDIR or a zip."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom import archive
from hagan_clinic.imageio.dicom.headers import (
    Budget,
    DamagedFileError,
    TooMuchError,
    read_header,
)
from hagan_clinic.imageio.dicom.series import Instance, Series
from hagan_clinic.imageio.dicom.values import items, number, text

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
        found = _sorted(files_below(path))
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
        return _sorted(_referenced(path, header), listed=True)
    return _sorted(iter([(path.name, partial(_open, path))]))


def files_below(folder: Path) -> Iterator[tuple[str, _Opened]]:
    """Name and opener of every regular file below a folder, in the order of their names."""
    for parent, folders, names in os.walk(folder, onerror=_refuse_unread):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            # A pipe would be waited for; a link to nothing may be a slice that is not there.
            if path.is_file() or not path.exists():
                yield str(path.relative_to(folder)), partial(_open, path)


def _refuse_unread(error: OSError) -> None:
    """A folder that cannot be read may hold slices."""
    raise InputError(
        f"a folder in it cannot be read ({error.strerror}); what is there may be missing from a "
        "series"
    ) from error


def _referenced(path: Path, directory: Dataset) -> Iterator[tuple[str, _Opened]]:
    """Name and opener of the files that a DICOMDIR refers to (PS3.3, F.3).

    Raises:
        InputError: If one of them lies outside its folder.
    """
    folder = path.parent.resolve()
    listings: dict[Path, dict[str, Path]] = {}
    for record in items(directory, "DirectoryRecordSequence"):
        name = text(record, "ReferencedFileID").replace("\\", "/")
        if not name:
            continue
        if "\0" in name or not (folder / name).resolve().is_relative_to(folder):
            raise InputError(f"{path}: refers to a file outside its folder; do not trust it")
        yield name, partial(_open, _as_shown(folder, name, listings))


def _as_shown(folder: Path, name: str, listings: dict[Path, dict[str, Path]]) -> Path:
    """The file of a ReferencedFileID, which systems show in lower case or with a suffix.

    ISO 9660 knows capitals alone, and appends a version; copying programs append `.dcm`.
    """
    shown = folder
    for part in name.split("/"):
        there = shown / part
        if not there.exists() and shown.is_dir():
            if shown not in listings:
                listings[shown] = {_plain(one.name): one for one in shown.iterdir()}
            there = listings[shown].get(_plain(part), there)
        shown = there
    # As above: a link may lead anywhere.
    return shown if shown.resolve().is_relative_to(folder) else folder / name


def _plain(name: str) -> str:
    return re.sub(r"(\.dcm|\.?;1|\.)$", "", name.lower())


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _is_directory(header: Dataset) -> bool:
    return text(header.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


def _is_called_dicom(name: str) -> bool:
    """Whether a name says that its file is DICOM; macOS puts its own files `._name` beside all."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].lower()
    return last.endswith(".dcm") and not last.startswith("._")


def _parted(
    ignored: list[tuple[str, str]], series: dict[str, list[Instance]]
) -> tuple[list[tuple[str, str]], list[Damaged]]:
    """Part files that are called as the slices beside them, and must be some, from the others."""
    alike: dict[tuple[str, str], set[str]] = {}
    for uid, instances in series.items():
        for one in instances:
            alike.setdefault(_place_and_kind(one.name), set()).add(uid)
    others, damaged = [], []
    for name, reason in ignored:
        uids = alike.get(_place_and_kind(name), set())
        if uids:
            problem = f"{reason}, though it is called as the slices beside it; copy it again"
            known = min(uids) if len(uids) == 1 else None
            # Where the series is not known, whoever refuses it says the rest.
            problem += ", or remove it if it is not of the series" if known else ""
            damaged.append(Damaged(name, problem, known))
        else:
            others.append((name, reason))
    return others, damaged


def _place_and_kind(name: str) -> tuple[str, str]:
    """Folder of a file, and its name without what numbers it among its like."""
    folder, _, last = name.replace("\\", "/").rpartition("/")
    return folder, re.sub(r"[0-9a-f]{8,}|\d+", "#", last.lower())


def _sorted(files: Iterator[tuple[str, _Opened]], listed: bool = False) -> Found:
    """Read every header and put the instances under their series.

    One that is not DICOM, though it is `listed` in a DICOMDIR or is called so, counts as damaged.
    """
    budget = Budget()
    series: dict[str, list[Instance]] = {}
    ignored: list[tuple[str, str]] = []
    damaged: list[Damaged] = []
    for name, opened in files:
        try:
            header = read_header(opened, name, budget)
        except DamagedFileError as error:
            damaged.append(Damaged(name, str(error), error.uid))
        except TooMuchError:
            raise
        except InputError as error:
            if listed or _is_called_dicom(name):
                damaged.append(Damaged(name, f"{error}; copy it again", None))
            else:
                ignored.append((name, str(error)))
        except OSError as error:
            problem = f"{name}: cannot be read ({error.strerror or type(error).__name__})"
            damaged.append(Damaged(name, problem, None))
        else:
            uid = text(header, "SeriesInstanceUID")
            if _is_directory(header):
                ignored.append((name, f"{name}: is a DICOMDIR"))
            elif uid:
                series.setdefault(uid, []).append(Instance(name, opened, header))
            else:
                damaged.append(Damaged(name, f"{name}: has no SeriesInstanceUID", None))
    ignored, missing = _parted(ignored, series)
    damaged += missing
    found = [Series(uid, tuple(instances)) for uid, instances in series.items()]
    found.sort(key=lambda one: (number(one.header, "SeriesNumber") or 0, one.uid))
    return Found(tuple(found), tuple(ignored), tuple(damaged))
