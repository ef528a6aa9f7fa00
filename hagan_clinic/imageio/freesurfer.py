"""FreeSurfer volumes: .mgz and .mgh."""

import struct
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import (
    check_length,
    check_shape,
    open_data,
    read_end,
    read_exactly,
)
from hagan_clinic.volume import Grid, Volume

_VERSION = 1

# uint8, int32, float32, int16, uint16
_TYPES = (0, 1, 3, 4, 10)

# After the voxels stand five scan parameters, then tags: number, length, content
# (FreeSurfer's include/tags.h). Command lines are what its programs keep and print.
_PARAMETERS = 20
_TAG = ">iq"
_COMMAND_LINE = 3
_WITHOUT_LENGTH = (1, 2, 20, 30)
_DESCRIPTION = b"description: "


def read(path: Path) -> Volume:
    """Read an .mgz or .mgh file.

    Raises:
        InputError: If the file is not one scalar 3D image of known orientation.
    """
    compressed = _compressed(path)
    with open_data(path, compressed) as stream:
        header = _read_header(stream)
        grid, dtype = _grid(header), header.get_data_dtype()
        size = int(np.prod(grid.shape)) * dtype.itemsize
        check_length(path, header.get_data_offset() + size, compressed)
        raw = read_exactly(stream, size).view(dtype)
        read_end(stream)
    return Volume(raw.reshape(grid.shape, order="F").astype(np.float32), grid.affine)


def read_grid(path: Path) -> Grid:
    """The grid from the header alone.

    Raises:
        InputError: As `read`.
    """
    with open_data(path, _compressed(path)) as stream:
        return _grid(_read_header(stream))


def read_description(path: Path) -> str:
    """The description that `write` put there; empty if there is none.

    Raises:
        InputError: If the file is not a volume, or is cut off.
    """
    with open_data(path, _compressed(path)) as stream:
        header = _read_header(stream)
        voxels = int(np.prod(_grid(header).shape))
        size = voxels * header.get_data_dtype().itemsize
        stream.seek(header.get_data_offset() + size + _PARAMETERS)
        tags = list(_tags(read_end(stream)))
    texts = (text for number, text in tags if number == _COMMAND_LINE)
    ours = (text for text in texts if text.startswith(_DESCRIPTION))
    return next(ours, b"").removeprefix(_DESCRIPTION).rstrip(b"\0").decode("utf-8", "replace")


def write(volume: Volume, path: Path, like: Any | None, description: str) -> None:
    """Write a float32 volume, its description as a tag that FreeSurfer's `mri_info` prints."""
    from nibabel import MGHImage
    from nibabel.openers import ImageOpener

    del like
    MGHImage(np.asarray(volume.array, dtype=np.float32), volume.affine).to_filename(path)
    text = _DESCRIPTION + description.encode() + b"\0"
    with ImageOpener(str(path), "ab") as file:
        file.write(struct.pack(_TAG, _COMMAND_LINE, len(text)) + text)


def _compressed(path: Path) -> bool:
    return path.suffix.lower() == ".mgz"


def _read_header(stream: BufferedIOBase) -> Any:
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


def _tags(footer: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each tag, up to one that is cut off or is of a kind without length."""
    place, head = 0, struct.calcsize(_TAG)
    while place + head <= len(footer):
        number, length = struct.unpack_from(_TAG, footer, place)
        place += head
        if number in _WITHOUT_LENGTH or not 0 <= length <= len(footer) - place:
            return
        yield number, footer[place : place + length]
        place += length


def _grid(header: Any) -> Grid:
    return Grid(check_shape([int(size) for size in header["dims"]]), header.get_affine())
