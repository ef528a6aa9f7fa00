"""How an instance stores its pixels: the Image Pixel module (PS3.3 C.7.6.3), checked."""

from dataclasses import dataclass
from struct import error as StructError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import check_shape
from hagan_clinic.imageio.dicom.codecs import check_codec


@dataclass(frozen=True)
class StoredSamples:
    """How an instance stores its pixels: the Image Pixel module (PS3.3 C.7.6.3).

    Attributes:
        syntax: Transfer syntax.
        rows: Height of a frame.
        columns: Width of a frame.
        frames: How many there are.
        allocated: Bits a sample takes: 8, 16 or 32.
        stored: Bits of it that count, the low ones.
        signed: Whether they are in two's complement.
    """

    syntax: UID
    rows: int
    columns: int
    frames: int
    allocated: int
    stored: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Of a frame that is not compressed."""
        return self.rows * self.columns * self.allocated // 8


def describe(header: Dataset) -> StoredSamples:
    """Read and check the Image Pixel module.

    Raises:
        InputError: If it is not that of a monochrome image of integers, or no sizes are read that
            large.
    """
    if "ModalityLUTSequence" in header:
        raise InputError("has a ModalityLUTSequence, expected a linear rescale; convert it")
    photometric = str(element(header, "PhotometricInterpretation", ""))
    samples = integer(header, "SamplesPerPixel", 1)
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise InputError(
            f"has {samples} samples a pixel of {photometric or 'unknown'} colours, expected a "
            "grey image (MONOCHROME2); give the original series"
        )
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    frames = integer(header, "NumberOfFrames", 1)
    check_shape((columns, rows, frames))
    allocated, stored = integer(header, "BitsAllocated"), integer(header, "BitsStored")
    high, signed = integer(header, "HighBit", stored - 1), integer(header, "PixelRepresentation")
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or high != stored - 1:
        raise InputError(
            f"stores {stored} of {allocated} bits up to bit {high}, expected 8, 16 or 32 bits of "
            "which the lowest are stored; convert it"
        )
    if signed not in (0, 1):
        raise InputError(f"has PixelRepresentation {signed}, expected 0 or 1; correct the header")
    syntax = UID(str(element(header.file_meta, "TransferSyntaxUID", "")))
    if not syntax.is_transfer_syntax:
        raise InputError(
            f"has the transfer syntax {syntax or 'none'}, which is not known; convert it"
        )
    if syntax.is_encapsulated:
        check_codec(syntax)
    return StoredSamples(syntax, rows, columns, frames, allocated, stored, bool(signed))


def element(header: Dataset, keyword: str, default: Any = None) -> Any:
    """The value of an element, or `default` where there is none or it is empty.

    Raises:
        InputError: If its value is not of its kind.
    """
    try:
        value = header.get(keyword)
    # What pydicom raises for a value that it cannot read; NotImplementedError for an unknown VR.
    except (ValueError, TypeError, StructError, NotImplementedError, AttributeError) as error:
        raise InputError(f"has a damaged {keyword}; correct the header") from error
    return default if value is None or value == "" else value


def integer(header: Dataset, keyword: str, default: int | None = None) -> int:
    """The value of an element that holds one whole number.

    Raises:
        InputError: If there is none and no `default`, or it is no whole number.
    """
    value = element(header, keyword, default)
    if value is None:
        raise InputError(f"has no {keyword}; expected a complete header")
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"has {keyword} {value}, expected a whole number") from error
    return number


def extend(array: NDArray[Any], bits: int, signed: bool) -> NDArray[np.int64]:
    """Take the low `bits` of integers, in two's complement if `signed`."""
    values = array.astype(np.int64)
    values &= (1 << bits) - 1
    if signed:
        values -= (values >> (bits - 1)) << bits
    return values
