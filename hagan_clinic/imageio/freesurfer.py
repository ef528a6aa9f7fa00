"""FreeSurfer volumes: .mgz and .mgh."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import (
    check_end,
    check_length,
    check_shape,
    open_data,
    read_exactly,
)
from hagan_clinic.volume import Grid, Volume

_VERSION = 1

# uint8, int32, float32, int16, uint16
_TYPES = (0, 1, 3, 4, 10)


def read(path: Path) -> Volume:
    """Read an .mgz or .mgh file.

    Raises:
        InputError: If the file is not one scalar 3D image of known orientation.
    """
    compressed = _compressed(path)
    with open_data(path, compressed) as stream:
        header = _read_header(stream)
        grid = _grid(header)
        dtype = header.get_data_dtype()
        size = int(np.prod(grid.shape)) * dtype.itemsize
        check_length(path, header.get_data_offset() + size, compressed)
        raw = read_exactly(stream, size).view(dtype)
        check_end(stream)
    return Volume(raw.reshape(grid.shape, order="F").astype(np.float32), grid.affine)


def read_grid(path: Path) -> Grid:
    """The grid from the header alone.

    Raises:
        InputError: As `read`.
    """
    with open_data(path, _compressed(path)) as stream:
        return _grid(_read_header(stream))


def write(volume: Volume, path: Path, like: Path | None, description: str) -> None:
    """Write a float32 volume; the format has no place for `description`."""
    from nibabel import MGHImage

    del like, description
    MGHImage(np.asarray(volume.array, dtype=np.float32), volume.affine).to_filename(path)


def _compressed(path: Path) -> bool:
    return path.suffix.lower() == ".mgz"


def _read_header(stream: BinaryIO) -> Any:
    """The header of a stream, which is left at the first voxel."""
    from nibabel.freesurfer.mghformat import MGHHeader

    length = MGHHeader.template_dtype.itemsize
    block = stream.read(MGHHeader().get_data_offset())
    complete = len(block) == MGHHeader().get_data_offset()
    # The scan parameters stand after the voxels, in a footer that is not needed.
    block = block[:length].ljust(length, b"\0")
    fields = np.frombuffer(block, dtype=MGHHeader.template_dtype)[0]
    if not complete or fields["version"] != _VERSION or int(fields["type"]) not in _TYPES:
        raise InputError("is not a FreeSurfer volume (no such header at its start); check its kind")
    # nibabel would put a default orientation in its place.
    if fields["goodRASFlag"] != 1:
        raise InputError(
            "has no orientation (its goodRASFlag is not set); set it, for example with "
            "FreeSurfer's mri_convert --in_like"
        )
    return MGHHeader(block, check=False)


def _grid(header: Any) -> Grid:
    return Grid(check_shape([int(size) for size in header["dims"]]), header.get_affine())
