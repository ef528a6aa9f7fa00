"""What an instance shows and where, whatever its encoding and the rest of its header."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.enhanced import frames, is_enhanced
from hagan_clinic.imageio.dicom.headers import read_header
from hagan_clinic.imageio.dicom.pixel_data import read_frames
from hagan_clinic.imageio.dicom.pixels import rescale_of
from hagan_clinic.imageio.dicom.samples import describe
from hagan_clinic.imageio.dicom.series import Instance, Slice
from hagan_clinic.imageio.dicom.values import numbers

_GEOMETRY = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
_DECIMALS = 4


def fingerprint(path: Path) -> str:
    """A hash of decoded pixels, rescale and geometry, frame by frame.

    Raises:
        InputError: The file cannot be read or decoded.
    """

    def opened() -> BinaryIO:
        return path.open("rb")

    instance = Instance("instance", opened, read_header(opened, "instance"))
    header = instance.header
    slices = frames(instance) if is_enhanced(header) else (Slice(instance, 0, header),)
    samples = describe(header)
    digest = hashlib.sha256()
    with closing(read_frames(instance, samples, [part.frame for part in slices])) as decoded:
        for part, frame in zip(slices, decoded, strict=True):
            digest.update(repr((frame.shape, rescale_of(part) or (1.0, 0.0))).encode())
            for keyword, count in _GEOMETRY:
                values = numbers(part.plane, keyword, count)
                rounded = None if values is None else np.round(values, _DECIMALS) + 0.0  # no -0
                digest.update(repr(None if rounded is None else rounded.tolist()).encode())
            digest.update(np.ascontiguousarray(frame).tobytes())
    return digest.hexdigest()


def shows_the_same(one: Path, other: Path) -> bool:
    """Whether two instances have the same pixels and geometry, as far as both can be decoded."""
    try:
        return fingerprint(one) == fingerprint(other)
    except (InputError, OSError):
        return False
