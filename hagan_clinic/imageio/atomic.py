"""Atomic writing: a file, or a folder of files, appears at its path whole or not at all."""

import errno
import os
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


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends well.

    The temporary name keeps the suffix of `path`. On any exception, an interrupt included, the
    temporary file is removed and what stood at `path` before stays.

    Args:
        path: Where the file shall appear; a file there is replaced.

    Raises:
        OutputError: If the file cannot be written, or `path` is a folder or a device.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device"
            raise OutputError(f"{path} is {kind}; expected the path of a file to write")
        # A symbolic link stays one; its target is what is replaced.
        path = path.resolve()
        temporary = path.with_name(f".{secrets.token_hex(6)}.{path.name[-100:]}")
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error


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
        temporary = path.with_name(f".{secrets.token_hex(6)}.{path.name[-100:]}")
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
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error


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


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
