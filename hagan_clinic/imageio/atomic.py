"""Atomic writing: a file, or a folder of files, appears at its path whole or not at all."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hagan_clinic.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full; free space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free space or choose another folder",
    errno.EACCES: "the folder cannot be written; choose another or change its permissions",
    errno.EPERM: "the folder cannot be written; choose another or change its permissions",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "the folder does not exist; create it first",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
    errno.ENOTEMPTY: "the folder is not empty; choose another",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


# Of a name, in bytes; file systems take 255.
_KEPT_OF_NAME = 100
_RANDOM_BYTES = 6


@contextmanager
def atomic_path(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends well.

    The temporary name keeps the suffix of `path`. On any exception, an interrupt included, the
    temporary file is removed and what stood at `path` before stays.

    Args:
        path: Where the file shall appear.
        replace: A file there is replaced; otherwise it stays, whenever it appeared.

    Raises:
        OutputError: If the file cannot be written, `path` is a folder or a device, or a file
            stands there that may not be replaced.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device"
            raise OutputError(f"{path} is {kind}; expected the path of a file to write")
        # A symbolic link stays one; its target is what is replaced.
        path = path.resolve()
        temporary = _beside(path)
        try:
            yield temporary
            _flush(temporary)
            if replace:
                temporary.replace(path)
            else:
                _place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; move it there when the block ends well.

    On any exception, an interrupt included, the temporary folder is removed.

    Args:
        path: Where the folder shall appear; what stands there when the block ends is at most an
            empty folder.

    Raises:
        OutputError: If it cannot be written, or something stands at `path`.
    """
    path = Path(path)
    try:
        path = path.resolve()
        temporary = _beside(path)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.iterdir():
                _flush(file)
            flush_folder(temporary)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        flush_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """Why something cannot be written, and what to do."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def write_bytes(data: bytes, path: str | Path) -> None:
    """Write `data` atomically.

    Raises:
        OutputError: As `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(text: str, path: str | Path) -> None:
    """Write `text` atomically, as UTF-8.

    Raises:
        OutputError: As `atomic_path`.
    """
    write_bytes(text.encode(), path)


def flush_folder(folder: Path) -> None:
    """Let the names in a folder, of files just made or moved, outlive a power cut."""
    # Only POSIX lets a program open a folder and flush its entries.
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders of `path` that killed processes left beside it.

    Only for a path that no living process writes.
    """
    if not path.parent.is_dir():
        return
    end = re.compile(rf"\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}\.{re.escape(_end_of(path))}")
    for left in path.parent.iterdir():
        if end.fullmatch(left.name):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A hidden name beside a path, no longer than file systems take."""
    return path.with_name(f".{secrets.token_hex(_RANDOM_BYTES)}.{_end_of(path)}")


def _end_of(path: Path) -> str:
    return os.fsencode(path.name)[-_KEPT_OF_NAME:].decode("utf-8", "ignore")


def _place(temporary: Path, path: Path) -> None:
    """Move a file to where none is; of two that come at once, the second is refused."""
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if path.exists():
            raise OutputError(
                f"{path}: appeared during this run, as another process writes there too; "
                "choose another path or --overwrite"
            ) from error
        temporary.replace(path)  # a file system without hard links


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
