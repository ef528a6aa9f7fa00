"""Decompressing one frame to the integers that its codestream holds.

pydicom and its plugins decode. Which plugin is fixed for each transfer syntax, so that the same
file gives the same volume wherever it is read.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryFile
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import HTJ2K as HTJ2KLossy
from pydicom.uid import JPEG2000 as JPEG2000Lossy
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from hagan_clinic.errors import InputError

# pydicom's plugin, and the module it needs beyond the base install.
_PLUGINS = {
    RLELossless: ("pydicom", ""),
    JPEGBaseline8Bit: ("pillow", ""),
    JPEGExtended12Bit: ("pillow", ""),  # 8 bits of it; nothing here decodes its 12
    JPEGLossless: ("gdcm", "gdcm"),
    JPEGLosslessSV1: ("gdcm", "gdcm"),
    JPEGLSLossless: ("pyjpegls", "jpeg_ls"),
    JPEGLSNearLossless: ("pyjpegls", "jpeg_ls"),
    JPEG2000Lossless: ("pylibjpeg", "openjpeg"),
    JPEG2000Lossy: ("pylibjpeg", "openjpeg"),
    HTJ2KLossless: ("pylibjpeg", "openjpeg"),
    HTJ2KLosslessRPCL: ("pylibjpeg", "openjpeg"),
    HTJ2KLossy: ("pylibjpeg", "openjpeg"),
}

# What libjpeg says of data that it decodes all the same.
_DAMAGE = re.compile("corrupt|premature|truncated", re.IGNORECASE)
_MAX_MESSAGES = 2**16

# Filters of warnings and the terminal are the process's: one thread at a time may change them.
_ALONE = RLock()


def check_codec(syntax: UID) -> None:
    """See that the transfer syntax can be decoded here.

    Raises:
        InputError: If it is one that is not read, or its decoder is not installed.
    """
    if syntax not in _PLUGINS:
        raise InputError(
            f"is compressed as {syntax.name}, which is not read; convert it, for example to "
            "Explicit VR Little Endian"
        )
    module = _PLUGINS[syntax][1]
    if module and not _imports(module):
        raise InputError(
            f"is compressed as {syntax.name}, which needs a decoder that is not installed: "
            'pip install "hagan-clinic[dicom-codecs]"'
        )


def decode(
    data: bytes, syntax: UID, rows: int, columns: int, precision: int, signed: bool
) -> NDArray[np.integer[Any]]:
    """The samples of one monochrome frame.

    Args:
        data: The whole compressed frame, whose declared size has been checked.
        syntax: Its transfer syntax.
        rows: Height in pixels.
        columns: Width in pixels.
        precision: Bits a sample in the codestream (RLE: bits allocated); containers of 8, 16 or 32
            bits hold them.
        signed: Whether the codestream's samples are signed.

    Returns:
        Integers of shape (rows, columns).

    Raises:
        InputError: If the decoder fails on them.
    """
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 8 if precision <= 8 else 16 if precision <= 16 else 32,
        "bits_stored": precision,
        "pixel_representation": int(signed),
        "pixel_keyword": "PixelData",
    }
    with _ALONE, warnings.catch_warnings():
        # What pydicom warns of, such as more samples than there are pixels, is no frame to trust.
        warnings.simplefilter("error")
        try:
            with _overheard():
                array, _ = get_decoder(syntax).as_array(
                    encapsulate([data], has_bot=False),
                    index=0,
                    raw=True,
                    validate=False,  # by the caller, and of the whole file
                    decoding_plugin=_PLUGINS[syntax][0],
                    **options,
                )
        # A decoder may raise anything on damaged data.
        except Exception as error:
            reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else ""
            raise InputError(
                f"cannot be decoded as {syntax.name} ({reason or type(error).__name__}); "
                "copy it again"
            ) from error
    return array


@contextmanager
def _overheard() -> Iterator[None]:
    """Keep off the terminal what a decoder prints there, past Python, and raise it if it is damage.

    GDCM's JPEG returns what it has of damaged data, and prints that they are damaged.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    with TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
        heard.seek(0)
        messages = heard.read(_MAX_MESSAGES).decode("utf-8", "replace")
    if _DAMAGE.search(messages):
        raise ValueError(messages)


def _imports(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
