"""What a compressed frame says of itself: its size, its precision, and where it ends.

The decoders take their sizes from the compressed data, and some return what they have where these
are cut off. So the data are asked first, and must agree with the header and be whole.
"""

from dataclasses import dataclass
from struct import unpack_from

from pydicom.uid import (
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from hagan_clinic.errors import InputError

# Start-of-frame markers of the processes that each transfer syntax allows (PS3.5 A.4).
_FRAME_MARKERS = {
    JPEGBaseline8Bit: {0xC0},
    JPEGExtended12Bit: {0xC0, 0xC1},
    JPEGLossless: {0xC3},
    JPEGLosslessSV1: {0xC3},
    JPEGLSLossless: {0xF7},
    JPEGLSNearLossless: {0xF7},
}
_ANY_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # but not DHT, JPG and DAC
_START_OF_SCAN = 0xDA
_END = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike

_J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ
_J2K_TILE = 0xFF90
_MAX_TILES = 2**16

_LOSSLESS = (
    *(JPEGLossless, JPEGLosslessSV1, JPEGLSLossless),
    *(JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL),
)


@dataclass(frozen=True)
class Codestream:
    """One frame as its compressed data declare it.

    Attributes:
        columns: Width in pixels.
        rows: Height in pixels.
        components: Samples a pixel.
        precision: Bits a sample.
        signed: Whether the samples are signed; None where the format cannot tell.
    """

    columns: int
    rows: int
    components: int
    precision: int
    signed: bool | None


def is_lossless(syntax: UID) -> bool:
    """Whether every frame of the transfer syntax gives back the very samples."""
    return syntax in _LOSSLESS


def examine(data: bytes, syntax: UID) -> Codestream:
    """Read the headers of one compressed frame and find its end.

    Args:
        data: All fragments of the frame.
        syntax: A transfer syntax of the JPEG family (ISO 10918-1, 14495-1, 15444-1, 15444-15).

    Raises:
        InputError: If they are of another format, cut off, or go on behind the frame's end.
    """
    try:
        if syntax in JPEG2000TransferSyntaxes:
            return _jpeg_2000(data)
        return _jpeg(data, syntax)
    except (IndexError, ValueError) as error:
        raise _truncated(len(data)) from error


def _jpeg(data: bytes, syntax: UID) -> Codestream:
    """Walk the segments up to the first scan (ISO 10918-1 B.2; 14495-1 C.2)."""
    if data[:2] != b"\xff\xd8":
        raise _other_format(data, syntax)
    found: Codestream | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            raise _other_format(data, syntax)
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(_exactly(data, at + 2, 2))
        if marker in _ANY_FRAME:
            if marker not in _FRAME_MARKERS[syntax]:
                raise _other_format(data, syntax)
            precision, rows, columns, components = unpack_from(">BHHB", _exactly(data, at + 4, 6))
            found = Codestream(columns, rows, components, precision, None)
        at += 2 + length
        if marker == _START_OF_SCAN:
            break
    if found is None:
        raise _other_format(data, syntax)
    # Within a scan a byte of 0xFF is never followed by one that would make it an end.
    _check_rest(data, data.index(_END, at))
    return found


def _jpeg_2000(data: bytes) -> Codestream:
    """Read SIZ, then go from tile-part to tile-part (ISO 15444-1 A.4 and A.5)."""
    if data[:4] != _J2K_START:
        raise InputError(
            "its frame does not begin as a JPEG 2000 codestream does; convert the image again"
        )
    size, _, right, below, left, above, width, height, tiles_left, tiles_above, components = (
        unpack_from(">HHIIIIIIIIH", _exactly(data, 4, 38))
    )
    depth, step_x, step_y = _exactly(data, 42, 3)
    if (step_x, step_y) != (1, 1) or 0 in (width, height) or left >= right or above >= below:
        raise InputError("its JPEG 2000 header is not that of a plain image; convert it again")
    across, down = -((tiles_left - right) // width), -((tiles_above - below) // height)
    if not 0 < across * down < _MAX_TILES:
        raise InputError(
            f"its JPEG 2000 data declare {across * down} tiles, expected fewer than {_MAX_TILES}; "
            "convert the image again"
        )
    tiles = set()
    at = 4 + size
    while data[at : at + 2] != _END:
        marker, length = unpack_from(">HH", _exactly(data, at, 4))
        if marker != _J2K_TILE:
            at += 2 + length
            continue
        tile, part = unpack_from(">HI", _exactly(data, at + 4, 6))
        tiles.add(tile)
        if part == 0:  # the last one, up to the end
            at = data.rindex(_END, at)
        elif part < 14:
            raise _truncated(len(data))
        else:
            at += part
    if len(tiles) != across * down:
        raise InputError(
            f"has {len(tiles)} of the {across * down} tiles that its JPEG 2000 data declare; "
            "copy it again"
        )
    _check_rest(data, at)
    precision, signed = (depth & 0x7F) + 1, bool(depth & 0x80)
    return Codestream(right - left, below - above, components, precision, signed)


def _check_rest(data: bytes, end: int) -> None:
    """Allow one byte, which makes the length even, or zeros (PS3.5 A.4) behind the end marker."""
    rest = data[end + len(_END) :]
    if len(rest) > 1 and any(rest):
        raise InputError(
            f"has {len(rest)} bytes behind the end of its compressed frame, expected one frame; "
            "its NumberOfFrames is wrong or it is damaged"
        )


def _exactly(data: bytes, start: int, length: int) -> bytes:
    part = data[start : start + length]
    if len(part) != length:
        raise IndexError
    return part


def _truncated(length: int) -> InputError:
    return InputError(
        f"is truncated or damaged: the {length} bytes of its compressed frame do not end as they "
        "should; copy it again"
    )


def _other_format(data: bytes, syntax: UID) -> InputError:
    return InputError(
        f"its frame begins with {data[:4].hex()}, which is not {syntax.name} as its header says; "
        "convert the image again"
    )
