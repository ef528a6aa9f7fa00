"""The frames in encapsulated pixel data: which fragments are whose (PS3.5 A.4).

An offset table must point to where the fragments are: a frame taken from a wrong place would be a
slice in a wrong place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import unpack
from typing import BinaryIO

from hagan_clinic.errors import InputError

_ITEM = 0xE000FFFE
_DELIMITER = 0xE0DDFFFE
_HEADER = 8  # bytes of an item's tag and length

_MAX_FRAGMENTS = 2**18


@dataclass(frozen=True)
class Fragment:
    """A run of compressed bytes: where in the stream it begins and how long it is."""

    start: int
    length: int


Frame = tuple[Fragment, ...]


def find_frames(
    stream: BinaryIO, count: int, extended_offsets: Sequence[int] | None = None
) -> tuple[Frame, ...]:
    """The fragments of each frame, without reading them.

    Args:
        stream: Stands at the first item of the pixel data, which is the basic offset table.
        count: NumberOfFrames.
        extended_offsets: The values of ExtendedOffsetTable, if there is one.

    Raises:
        InputError: If the items do not end, or are not those of `count` frames.
    """
    table, fragments = _basic_offsets(stream, count), _fragments(stream)
    if not fragments:
        raise InputError("has no compressed frame in its pixel data; copy it again")
    offsets = extended_offsets if extended_offsets is not None else table
    if not offsets:
        if count == 1:
            return (fragments,)
        if len(fragments) != count:
            raise InputError(
                f"has {len(fragments)} fragments of compressed data and no table that says which "
                f"belong to which of its {count} frames, expected one each; convert the image again"
            )
        return tuple((fragment,) for fragment in fragments)
    first = fragments[0].start
    numbers = {part.start - first: number for number, part in enumerate(fragments)}
    starts = [numbers.get(offset, -1) for offset in offsets]
    ends = [*starts[1:], len(fragments)]
    rising = all(0 <= start < end for start, end in zip(starts, ends, strict=True))
    if len(starts) != count or starts[0] != 0 or not rising:
        raise InputError(
            f"its offset table names {len(starts)} places for {count} frames, expected each "
            f"frame's first of {len(fragments)} fragments in order; convert the image again"
        )
    return tuple(fragments[start:end] for start, end in zip(starts, ends, strict=True))


def _basic_offsets(stream: BinaryIO, count: int) -> list[int]:
    tag, length = _item(stream)
    if tag != _ITEM or length % 4 or length > 4 * _MAX_FRAGMENTS:
        raise InputError(
            "its pixel data do not begin with a basic offset table, though its transfer syntax is "
            "a compressed one; convert the image again"
        )
    table = stream.read(length)
    if len(table) != length:
        raise InputError("is truncated within its basic offset table; copy it again")
    return list(unpack(f"<{length // 4}I", table))


def _fragments(stream: BinaryIO) -> Frame:
    fragments: list[Fragment] = []
    while True:
        tag, length = _item(stream)
        if tag == _DELIMITER:
            return tuple(fragments)
        if tag != _ITEM or length == 0xFFFFFFFF or len(fragments) == _MAX_FRAGMENTS:
            raise InputError(
                f"is damaged behind fragment {len(fragments)} of its compressed pixel data; "
                "copy it again"
            )
        start = stream.tell()
        fragments.append(Fragment(start, length))
        stream.seek(start + length)


def _item(stream: BinaryIO) -> tuple[int, int]:
    header = stream.read(_HEADER)
    if len(header) != _HEADER:
        raise InputError("is truncated: its compressed pixel data do not end; copy it again")
    tag, length = unpack("<II", header)
    return tag, length
