"""The members of a zip, read where they are: nothing is extracted."""

import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from hagan_clinic.errors import InputError

MAX_MEMBERS = 2**16
MAX_BYTES = 2**33
"""Inflated, of all members: a study of several thousand slices with room to spare."""

_OUTSIDE = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\0")


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def members(path: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Name and opener of every file in a zip, in the order of their names.

    No more of a member is ever inflated than its declared size (`zipfile` stops there), and the
    declared sizes are checked here.

    Raises:
        InputError: If it is damaged or encrypted, a member's name leaves the folder, or there is
            more in it than `MAX_MEMBERS` files or `MAX_BYTES` inflated.
    """
    try:
        archive = zipfile.ZipFile(path)
    # zipfile raises NotImplementedError for a version or a method that it does not know.
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: is a damaged zip; copy it again") from error
    files = [info for info in archive.infolist() if not info.is_dir()]
    if not files:
        raise InputError(f"{path}: is an empty zip, expected a DICOM series")
    if len(files) > MAX_MEMBERS:
        raise InputError(
            f"{path}: holds {len(files)} files, more than the {MAX_MEMBERS} that are read; "
            "unpack the series alone"
        )
    inflated = sum(info.file_size for info in files)
    if inflated > MAX_BYTES:
        raise InputError(
            f"{path}: inflates to {inflated} bytes, more than the {MAX_BYTES} that are read; "
            "unpack the series alone"
        )
    for info in files:
        if _OUTSIDE.search(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{path}: one of its members leaves the folder; do not trust it")
        if info.flag_bits & 1:
            raise InputError(f"{path}: is encrypted; unpack it first")
    for info in sorted(files, key=lambda info: info.filename):
        yield info.filename, partial(_opened, archive, info)


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(info))
