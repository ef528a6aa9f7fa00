"""Reading no more of a file than it can hold and its header declares.

Headers are not to be trusted: they may claim sizes that exhaust the memory, and a small gzip file
may inflate without end. Every size is checked before memory is taken.
"""

import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.volume import Shape

# 800 x 800 x 800: several times the largest head scan in use.
MAX_VOXELS = 2**29

# No stream of the deflate format inflates by more than this.
_MAX_INFLATION = 1032

_MAX_TRAILER = 2**20

# Of what gzip inflates at a time: these bytes are still in the processor's cache when they are
# copied, which takes a third less time than all at once.
_PART = 2**18

_GZIP_MAGIC = b"\x1f\x8b"

# What Python says where a stream has ended, its checksum was right, and no other begins.
_NO_FURTHER_STREAM = "Not a gzipped file"


@contextmanager
def open_data(path: Path, compressed: bool) -> Iterator[BufferedIOBase]:
    """Open a file, inflating it if `compressed`; what is wrong with it becomes an `InputError`."""
    try:
        with path.open("rb") as file:
            is_gzip = file.peek(2)[:2] == _GZIP_MAGIC
            if is_gzip != compressed:
                found, named = ("gzip", "uncompressed") if is_gzip else ("uncompressed", "gzip")
                raise InputError(
                    f"holds {found} data, expected {named} data by its suffix; rename it"
                )
            yield gzip.GzipFile(fileobj=file) if compressed else file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"is truncated or damaged ({error}); copy it again") from error


def read_exactly(stream: BufferedIOBase, size: int) -> NDArray[np.uint8]:
    """Read `size` bytes.

    Raises:
        InputError: If the stream ends before.
    """
    buffer = np.empty(size, dtype=np.uint8)
    filled = 0
    while filled < size:
        count = stream.readinto(buffer[filled : filled + _PART].data)
        if not count:
            raise InputError(
                f"is truncated: {filled} bytes where its header declares {size}; copy it again"
            )
        filled += count
    return buffer


def read_end(stream: BufferedIOBase) -> bytes:
    """The little that may follow the voxels; gzip compares its checksum at the end.

    Bytes behind a whole gzip stream that begin no further one are passed over, as gzip does.
    """
    parts, left = [], _MAX_TRAILER
    try:
        while left and (part := stream.read1(left)):
            parts.append(part)
            left -= len(part)
    except gzip.BadGzipFile as error:
        if not str(error).startswith(_NO_FURTHER_STREAM):
            raise
    return b"".join(parts)


def check_shape(shape: Sequence[int]) -> Shape:
    """The three axes of a declared shape; trailing axes of size one are dropped.

    Raises:
        InputError: If the shape is not that of one 3D image, is empty or beyond `MAX_VOXELS`.
    """
    sizes_text = "x".join(str(size) for size in shape)
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if min(sizes, default=0) < 1:
        raise InputError(f"is empty: its header declares {sizes_text or 'no'} voxels")
    if len(sizes) != 3:
        raise InputError(
            f"has {len(sizes)} axes ({sizes_text}), expected one 3D image; extract one volume first"
        )
    if math.prod(sizes) > MAX_VOXELS:
        raise InputError(
            f"declares {sizes_text} voxels, more than the {MAX_VOXELS} that are read; "
            "the header is damaged, or crop the image first"
        )
    d, h, w = sizes
    return d, h, w


def check_length(path: Path, needed: int, compressed: bool) -> None:
    """Refuse a file too short for the `needed` bytes, before memory is taken for them.

    Raises:
        InputError: If the file cannot hold them.
    """
    length = path.stat().st_size
    if length * (_MAX_INFLATION if compressed else 1) < needed:
        raise InputError(
            f"is truncated: {length} bytes cannot hold the {needed} that its header declares; "
            "copy it again"
        )
