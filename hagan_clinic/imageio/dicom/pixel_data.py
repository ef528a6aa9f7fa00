"""The stored samples of each frame of an instance, decoded (PS3.5 8 and A.4).

What the header declares is compared with what is there before memory is taken for it.
"""

import zlib
from collections.abc import Generator, Iterable
from io import SEEK_CUR, BytesIO
from struct import error as StructError
from struct import pack, unpack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.codecs import decode
from hagan_clinic.imageio.dicom.codestream import examine, is_lossless
from hagan_clinic.imageio.dicom.encapsulated import Frame, find_frames
from hagan_clinic.imageio.dicom.samples import StoredSamples, element, extend, integer
from hagan_clinic.imageio.dicom.series import Instance

_PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_PREAMBLE = 132
_GROUP_LENGTH = 12  # bytes of the element that tells the length of the rest of its group

_MAX_HEADER = 2**26  # bytes
_PART = 2**24  # bytes read at a time, so that a length that lies takes no more memory
_DEFLATED_PART = 2**14  # inflates to 17 MB at most

# Blank slices shrink without limit, and are small; a frame this large is of an image.
_ANY_COMPRESSION = 2**24
_MAX_COMPRESSION = 1032  # as much as the deflate format

_RLE_HEADER = 64

_SIGNS = {None: "signed or not", True: "signed", False: "unsigned"}


def read_frames(
    instance: Instance, samples: StoredSamples, numbers: Iterable[int], *, alone: bool = True
) -> Generator[NDArray[np.int64], None, None]:
    """Decode frames one after the other.

    Args:
        instance: The file.
        samples: Of its header.
        numbers: Of the frames from 0.
        alone: The other instances store as many bits. Where they do not, one that holds more than
            it says it stores is taken for damaged, not for one with something else up there.

    Yields:
        Integers of shape (rows, columns); bits that are allocated but not stored do not count.

    Raises:
        InputError: If the pixel data are not what the header declares.
    """
    with instance.open() as file:
        stream = file
        if samples.syntax == DeflatedExplicitVRLittleEndian:
            stream = _inflated(file, samples, instance.header)
        length, vr = _at_pixel_data(stream, samples, instance.header)
        if samples.syntax.is_encapsulated:
            if length != _UNDEFINED:
                raise InputError(
                    f"has pixel data of {length} bytes that are not in fragments, though its "
                    f"transfer syntax is {samples.syntax.name}; convert the image again"
                )
            offsets = _extended_offsets(instance.header)
            frames = find_frames(stream, samples.frames, offsets)
            for number in numbers:
                yield _compressed(stream, frames[number], samples, alone)
        else:
            start = stream.tell()
            _check_native(stream, length, samples)
            for number in numbers:
                stream.seek(start + number * samples.frame_bytes)
                yield _native(stream, samples, vr, alone)


def _inflated(file: BinaryIO, samples: StoredSamples, header: Dataset) -> BinaryIO:
    """The data set of a deflated file, as long as its header may make it (PS3.5 A.5)."""
    group = integer(header.file_meta, "FileMetaInformationGroupLength")
    file.seek(_PREAMBLE + _GROUP_LENGTH + group)
    limit = _MAX_HEADER + samples.frame_bytes * samples.frames
    inflating = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    parts, total = [], 0
    try:
        while not inflating.eof:
            part = inflating.unconsumed_tail or file.read(_DEFLATED_PART)
            parts.append(inflating.decompress(part, _PART))
            total += len(parts[-1])
            if total > limit:
                raise InputError(
                    f"inflates to more than the {limit} bytes that its header allows; "
                    "it is damaged or not what it says"
                )
            if not part and not parts[-1]:
                raise InputError("is truncated: its deflated data do not end; copy it again")
    except zlib.error as error:
        raise InputError(f"is damaged ({error}); copy it again") from error
    return BytesIO(b"".join(parts))


def _at_pixel_data(stream: BinaryIO, samples: StoredSamples, header: Dataset) -> tuple[int, str]:
    """Go to the first byte of the pixel data; give their declared length and their VR."""
    syntax = samples.syntax
    implicit = syntax.is_implicit_VR
    if syntax == DeflatedExplicitVRLittleEndian:
        read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >= _PIXEL_DATA)
    else:
        # Some writers encode the data set otherwise than their transfer syntax says.
        found = getattr(header, "original_encoding", (None, None))[0]
        implicit = implicit if found is None else found
        stream.seek(_behind(header))
        _skip_private(stream, implicit, syntax)
        if not _stands_there(stream, syntax):
            stream.seek(0)
            dcmread(stream, stop_before_pixels=True, force=True, specific_tags=["Rows"])
    if not _stands_there(stream, syntax):
        raise InputError(
            "has no integer pixel data (7FE0,0010) where its header ends; convert it or copy it "
            "again"
        )
    _, vr, length = _element_header(stream, implicit, syntax)
    return length, vr


def _behind(header: Dataset) -> int:
    """Where the last element of a header that was read up to the pixel data ends, if it says so."""
    last: Any = header.get_item(max(header.keys())) if len(header) else None
    if isinstance(last, RawDataElement) and last.length != _UNDEFINED:
        return int(last.value_tell + last.length)
    return 0


def _skip_private(stream: BinaryIO, implicit: bool, syntax: UID) -> None:
    """Pass the private elements that a header leaves out, as far as they state their length."""
    while True:
        start = stream.tell()
        try:
            tag, _, length = _element_header(stream, implicit, syntax)
        except InputError:
            length, tag = 0, 0
        if not tag >> 16 & 1 or length == _UNDEFINED:
            stream.seek(start)
            return
        stream.seek(length, SEEK_CUR)


def _element_header(stream: BinaryIO, implicit: bool, syntax: UID) -> tuple[int, str, int]:
    """Tag, VR and declared length of the next element (PS3.5 7.1.2 and 7.1.3)."""
    order = "<" if syntax.is_little_endian else ">"
    try:
        group, number = unpack(f"{order}HH", stream.read(4))
        if implicit:
            return group << 16 | number, "", unpack(f"{order}I", stream.read(4))[0]
        vr = stream.read(2).decode("latin-1")
        if vr in EXPLICIT_VR_LENGTH_32:
            return group << 16 | number, vr, unpack(f"{order}xxI", stream.read(6))[0]
        return group << 16 | number, vr, unpack(f"{order}H", stream.read(2))[0]
    except StructError as error:
        raise InputError("is truncated at its pixel data; copy it again") from error


def _stands_there(stream: BinaryIO, syntax: UID) -> bool:
    """Whether the next element is the pixel data; the stream does not move."""
    tag = stream.read(4)
    stream.seek(-len(tag), SEEK_CUR)
    return tag == pack("<HH" if syntax.is_little_endian else ">HH", 0x7FE0, 0x0010)


def _extended_offsets(header: Dataset) -> tuple[int, ...] | None:
    """ExtendedOffsetTable (PS3.3 C.7.6.3.1.8)."""
    table = element(header, "ExtendedOffsetTable")
    if table is None:
        return None
    if not isinstance(table, bytes) or len(table) % 8:
        raise InputError("has a damaged ExtendedOffsetTable; correct the header")
    return unpack(f"<{len(table) // 8}Q", table)


def _check_native(stream: BinaryIO, length: int, samples: StoredSamples) -> None:
    """Compare the declared length; what pads it, as PS3.5 8.1.1 allows, is no image.

    Less than a row cannot be part of one, nor can zeros, if they are not a frame.
    """
    expected = samples.frame_bytes * samples.frames
    excess = length - expected
    row = samples.frame_bytes // samples.rows
    if row <= excess < samples.frame_bytes:
        stream.seek(expected, SEEK_CUR)
        padded = not any(_read(stream, excess))
    else:
        padded = 0 <= excess < row or excess == expected % 2
    if not padded:
        frames = f"{samples.frames} x " if samples.frames > 1 else ""
        raise InputError(
            f"has {length} bytes of pixel data where its header declares {frames}{samples.rows} x "
            f"{samples.columns} pixels of {samples.allocated} bits, {expected} bytes; copy it again"
        )


def _native(stream: BinaryIO, samples: StoredSamples, vr: str, alone: bool) -> NDArray[np.int64]:
    little = samples.syntax.is_little_endian
    if not little and samples.allocated != 16 and (samples.allocated, vr) != (8, "OB"):
        raise InputError(
            f"stores {samples.allocated} bits a sample in big-endian words, expected 16; convert "
            "it to Explicit VR Little Endian"
        )
    data = _read(stream, samples.frame_bytes)
    words = np.frombuffer(data, dtype=f"{'<' if little else '>'}u{samples.allocated // 8}")
    return _stored(words.reshape(samples.rows, samples.columns), samples, alone)


def _stored(words: NDArray[Any], samples: StoredSamples, alone: bool) -> NDArray[np.int64]:
    """The bits of words that are stored."""
    values = extend(words, samples.stored, samples.signed)
    if not alone and (values != extend(words, samples.allocated, samples.signed)).any():
        raise InputError(
            f"holds more than the {samples.stored} bits that it says it stores, where other slices "
            "store another number; correct the header"
        )
    return values


def _compressed(
    stream: BinaryIO, frame: Frame, samples: StoredSamples, alone: bool
) -> NDArray[np.int64]:
    """Decode a frame whose codestream agrees with the header."""
    length = sum(fragment.length for fragment in frame)
    if samples.frame_bytes > max(_ANY_COMPRESSION, _MAX_COMPRESSION * length):
        raise InputError(
            f"declares {samples.rows} x {samples.columns} pixels in {length} compressed bytes, "
            "more than an image can be compressed; the header is damaged"
        )
    parts = []
    for fragment in frame:
        stream.seek(fragment.start)
        parts.append(_read(stream, fragment.length))
    data = b"".join(parts)
    syntax, rows, columns = samples.syntax, samples.rows, samples.columns
    if syntax == RLELossless:
        return _run_lengths(data, samples, alone)
    coded = examine(data, syntax)
    if (coded.columns, coded.rows, coded.components) != (columns, rows, 1):
        raise InputError(
            f"its compressed data are of {coded.rows} x {coded.columns} pixels of "
            f"{coded.components} samples where its header declares {rows} x {columns} of 1; "
            "convert the image again"
        )
    signed = samples.signed if coded.signed is None else coded.signed
    if (
        coded.precision > samples.allocated
        or (coded.precision != samples.stored and signed != samples.signed)
        or (coded.precision < samples.stored and samples.signed and coded.signed is None)
    ):
        raise InputError(
            f"its compressed data have {coded.precision} bits a sample, {_SIGNS[coded.signed]}, "
            f"where its header declares {samples.stored}, {_SIGNS[samples.signed]}; "
            "convert the image again"
        )
    decoded = decode(data, syntax, rows, columns, coded.precision, bool(coded.signed))
    values = extend(decoded, coded.precision, samples.signed)
    if coded.precision > samples.stored:
        low = -(1 << (samples.stored - 1)) if samples.signed else 0
        high = low + (1 << samples.stored) - 1
        if not is_lossless(syntax):
            np.clip(values, low, high, out=values)  # a loss may go beyond the ends
        elif values.min() < low or values.max() > high:
            raise InputError(
                f"its compressed data hold values of {values.min()} to {values.max()}, where its "
                f"header declares {samples.stored} bits, {_SIGNS[samples.signed]}; convert the "
                "image again"
            )
    return values


def _run_lengths(data: bytes, samples: StoredSamples, alone: bool) -> NDArray[np.int64]:
    """Decode RLE, which is twice as long as what it holds at most (PS3.5 G)."""
    if len(data) > _RLE_HEADER + 2 * samples.frame_bytes + samples.allocated // 8:
        raise InputError(
            f"has a frame of {len(data)} run-length bytes for {samples.frame_bytes} bytes of "
            "pixels, more than these can take; copy it again"
        )
    decoded = decode(
        data, samples.syntax, samples.rows, samples.columns, samples.allocated, samples.signed
    )
    return _stored(decoded, samples, alone)


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes and take memory for those that are there."""
    parts, missing = [], size
    while missing and (part := stream.read(min(missing, _PART))):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise InputError(
            f"is truncated: {size - missing} of {size} bytes of its pixel data; copy it again"
        )
    return b"".join(parts)
