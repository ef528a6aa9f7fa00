"""Arrays of an `.npz` file, which take no more memory than it says and may."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

MOST = 2**30
"""Bytes to which a file may inflate: latents of 250,000 volumes."""


@contextmanager
def open_npz(path: Path, most: int = MOST) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays by name, read when they are asked for; nothing pickled is loaded.

    Args:
        path: The file.
        most: Bytes that all of them may take.

    Raises:
        InputError: They would take more, or one says that it is larger than what is stored of it.
        Exception: It is no such file, or damaged; zipfile, zlib and numpy each raise their own.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > most:
            raise InputError(
                f"holds {size} bytes of arrays, more than the {most} that are read: it is damaged "
                "or made to exhaust the memory"
            )
        for member in archive.infolist():
            _check_size(archive, member)
    with np.load(path, allow_pickle=False) as arrays:
        yield arrays


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(stream)
    if math.prod(shape) * kind.itemsize > member.file_size:
        raise InputError(
            f"is damaged: {member.filename} says that it is {'x'.join(map(str, shape))} {kind}, "
            f"and {member.file_size} bytes are stored of it"
        )
