"""Reading the header of one DICOM file, and no more of it than a header can be."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import Any, BinaryIO

from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MediaStorageDirectoryStorage,
    MRImageStorage,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.values import text

MAX_HEADER = 64 * 2**20
"""Bytes of a header, inflated: several times the largest enhanced one."""

# pydicom's warnings quote the values that they complain of, and those may be a patient's; some
# come whatever its settings.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module="pydicom")

MR_STORAGE = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)

_PATIENT, _STUDY, _SERIES = map(BaseTag, (0x00100020, 0x0020000D, 0x0020000E))
_PREAMBLE = 128
_MAGIC = b"DICM"
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_UNDEFINED = 0xFFFFFFFF
_DELIMITER = [0xFFFE, 0xE0DD]
_MAX_FRAGMENTS = 2**20
# Two reads an element: a thousand frames of a hundred elements are a tenth of it.
_MAX_READS = 2**21
_READ_BYTES = 128  # of memory that an element takes beyond its value, a read


MAX_HEADERS = 2**31
"""What all headers of one place may take in memory: a study of ten thousand slices with room."""


class TooMuchError(InputError):
    """There is more in a place than is read."""


class DamagedFileError(InputError):
    """A DICOM file that cannot be read whole.

    Attributes:
        uid: Its Series Instance UID, if that much could be read.
    """

    def __init__(self, message: str, uid: str | None = None) -> None:
        super().__init__(message)
        self.uid = uid


def is_dicom(stream: BinaryIO) -> bool:
    """Whether a stream begins as a DICOM file does (PS3.10, 7.1)."""
    return stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC


class Budget:
    """The memory that the headers of one place may still take.

    Raises:
        TooMuchError: If it is overspent.
    """

    def __init__(self) -> None:
        self._left = MAX_HEADERS

    def spend(self, size: int) -> None:
        """Take `size` bytes from it."""
        self._left -= size
        if self._left < 0:
            raise TooMuchError(
                f"the headers of its files take more than the {MAX_HEADERS // 2**20} MiB that are "
                "read; give the series alone"
            )


def read_header(opened: Callable[[], BinaryIO], name: str, budget: Budget | None = None) -> Dataset:
    """Every standard element of a DICOM file but the pixels, and its `file_meta`.

    Private elements are left out: they are large, of unknown content, and nothing here uses them.

    Args:
        opened: Opens the file.
        name: Of the file, for messages.
        budget: Of all files that are read together.

    Raises:
        InputError: If it is not DICOM, or the `budget` is spent.
        DamagedFileError: If it is truncated or damaged, or its header is larger than `MAX_HEADER`.
    """
    try:
        with closing(opened()) as stream:
            if not is_dicom(stream):
                stream.seek(0)
                _refuse_damaged_start(stream.read(_PREAMBLE + len(_MAGIC)))
                raise InputError(f"{name}: is not DICOM (there is no DICM after its preamble)")
            return _read(_Bounded(stream), budget or Budget())
    except _Unreadable as error:
        raise DamagedFileError(f"{name}: {error}; {error.advice}", error.uid) from None
    except (InputError, OSError, MemoryError):
        raise
    # Whatever a hostile header makes pydicom raise, or a damaged archive `zipfile`; the message may
    # quote a patient's data.
    except Exception as error:
        problem = f"{name}: its header is damaged ({type(error).__name__}); copy it again"
        raise DamagedFileError(problem) from None


def read_study(opened: Callable[[], BinaryIO]) -> tuple[str, str, str] | None:
    """PatientID, StudyInstanceUID, SeriesInstanceUID of a DICOM file, read no further than these.

    Args:
        opened: Opens the file.

    Returns:
        All three, empty where they cannot be read; None of what is no DICOM file, or a DICOMDIR.

    Raises:
        OSError: The file cannot be read.
    """
    with closing(opened()) as stream:
        if not is_dicom(stream):
            return None
        try:
            meta, body, syntax = _past_meta(_Bounded(stream))
            if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                return None
            header = read_dataset(
                _binary(body),
                syntax.is_implicit_VR,
                syntax.is_little_endian,
                stop_when=lambda tag, vr, length: tag > _SERIES,
                specific_tags=[_PATIENT, _STUDY, _SERIES],
            )
            return (
                text(header, "PatientID"),
                text(header, "StudyInstanceUID"),
                text(header, "SeriesInstanceUID"),
            )
        except OSError:
            raise
        except Exception:  # as in `read_header`, which says what it is when the file's turn comes
            return "", "", ""


def _refuse_damaged_start(head: bytes) -> None:
    """Refuse what was a DICOM file, or is one but for its beginning: it may be a slice."""
    if len(head) > _PREAMBLE and not any(head):
        raise _Unreadable("is filled with zeros, as a copy that broke off leaves a file")
    # A data set begins with its group 2 or 8, in either byte order (PS3.5, 7.1).
    if head[:2] in (b"\2\0", b"\x08\0") and head[3:4] == b"\0" and len(head) > _PREAMBLE:
        raise _Unreadable(
            "is a DICOM data set without the preamble of a file (PS3.10, 7.1)",
            advice="write it as a file, for example with dcmtk's dcmconv",
        )


class _Unreadable(Exception):
    """What is wrong with a file, without its name."""

    def __init__(self, message: str, uid: str | None = None, advice: str = "copy it again") -> None:
        super().__init__(message)
        self.uid = uid
        self.advice = advice


class _Bounded:
    """A stream of which no value is read that is not there whole, nor beyond `MAX_HEADER`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._reads = 0
        self.taken = 0
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, or none where pydicom looks for the next tag."""
        self._reads += 1
        self.taken += size + _READ_BYTES
        if size < 0 or self._reads > _MAX_READS or self.tell() + size > MAX_HEADER:
            raise _Unreadable(
                f"declares a header of more than the {MAX_HEADER // 2**20} MiB "
                f"and {_MAX_READS // 2} elements that are read"
            )
        content = self._stream.read(size)
        if len(content) < size and (content or size > 8):
            raise _Unreadable("is truncated: it ends within its header")
        return content

    def rest(self, most: int) -> bytes:
        """All that follows, up to `most` bytes."""
        return self._stream.read(most)

    def left(self) -> int:
        """Number of bytes that follow."""
        here = self.tell()
        end = self.seek(0, io.SEEK_END)
        self.seek(here)
        return end - here


def _past_meta(stream: _Bounded) -> tuple[Dataset, _Bounded, UID]:
    """The file meta information, what follows it, inflated, and how that is encoded."""
    meta = read_dataset(_binary(stream), False, True, stop_when=_after_meta)
    syntax = UID(str(meta.get("TransferSyntaxUID", "")))
    if not syntax:
        raise _Unreadable("has no transfer syntax")
    if syntax == DeflatedExplicitVRLittleEndian:
        return meta, _Bounded(_inflated(stream)), ExplicitVRLittleEndian
    # Every syntax that is yet to come is encoded so (PS3.5, A.4).
    if not syntax.is_transfer_syntax or syntax.is_private:
        syntax = ExplicitVRLittleEndian
    return meta, stream, syntax


def _read(whole: _Bounded, budget: Budget) -> Dataset:
    meta, stream, syntax = _past_meta(whole)
    header = read_dataset(
        _binary(stream),
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, vr, length: tag in _PIXELS,
    )
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118 its values parse
        raw: Any = header.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length != _UNDEFINED:
            stream.taken -= raw.length
        del header[tag]
    budget.spend(stream.taken)
    header.file_meta = FileMetaDataset(meta)
    # Raw data and the like may have Rows without pixels.
    storage = header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    is_image = storage in MR_STORAGE
    if is_image and stream is whole:  # not deflated
        try:
            _check_pixels(stream, *header.original_encoding)
        except _Unreadable as error:
            raise _Unreadable(str(error), str(header.get("SeriesInstanceUID", ""))) from None
    return header


def _binary(stream: _Bounded) -> BinaryIO:
    """The stream as the type that pydicom names; it calls read, seek and tell."""
    return stream  # type: ignore[return-value]


def _after_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2


def _inflated(stream: _Bounded) -> BinaryIO:
    """The beginning of a deflated data set (PS3.5, A.5), at most as long as a header."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflate.decompress(stream.rest(MAX_HEADER), MAX_HEADER)
    if not inflate.eof and len(content) < MAX_HEADER:
        raise _Unreadable("is truncated: its deflated data end too early")
    return io.BytesIO(content)


def _check_pixels(stream: _Bounded, implicit: bool, little: bool) -> None:
    """Refuse an image whose pixels are not there, or not all of them."""
    order = "<" if little else ">"
    start = stream.read(8)
    if len(start) < 8:
        raise _Unreadable("is truncated: it ends before its pixels")
    (length,) = struct.unpack(f"{order}L", start[4:] if implicit else stream.read(4))
    if length != _UNDEFINED:
        left = stream.left()
        if length > left:
            raise _Unreadable(f"is truncated: {left} bytes of pixels where it declares {length}")
        return
    for _ in range(_MAX_FRAGMENTS):
        item = stream.rest(8)
        if len(item) < 8:
            raise _Unreadable("is truncated: it ends within its compressed pixels")
        *tag, length = struct.unpack(f"{order}HHL", item)
        if tag == _DELIMITER:
            return
        # A seek beyond the end is seen when the next item is not there.
        stream.seek(length, io.SEEK_CUR)
    raise _Unreadable(f"has more than {_MAX_FRAGMENTS} fragments of compressed pixels")
