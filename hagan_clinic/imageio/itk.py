"""NRRD (.nrrd) and MetaImage (.mha), read and written by SimpleITK."""

import errno
import math
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import check_length, check_shape
from hagan_clinic.volume import Affine, Grid, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

_MAX_HEADER = 2**20
_PART = 2**16  # bytes inflated at a time, to 66 MB at most

# A NRRD header ends with an empty line, a MetaImage's with the field that tells where the data are.
# MetaImage takes "=" and ":" alike, with blanks around.
_END = {
    ".nrrd": re.compile(rb"\r?\n\r?\n"),
    ".mha": re.compile(rb"^\s*ElementDataFile\s*[=:][^\n]*\n", re.MULTILINE),
}
_ELSEWHERE = {
    ".nrrd": re.compile(rb"^data ?file:", re.MULTILINE | re.IGNORECASE),
    ".mha": re.compile(rb"^\s*ElementDataFile\s*[=:]\s*(?!LOCAL\s)\S", re.MULTILINE),
}
_COMPRESSED = re.compile(rb"^\s*CompressedData\s*[=:]\s*[Tt1]", re.MULTILINE)
_COMMENT = re.compile(rb"^\s*Comment\s*[:=]+\s*(.*)$", re.MULTILINE)

# ITK's world is LPS, ours RAS.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path) -> Volume:
    """Read a NRRD or MetaImage file.

    Raises:
        InputError: If the file is not one scalar 3D image of known orientation.
    """
    import SimpleITK as sitk

    reader = _reader(path)
    grid = _grid(reader, path)
    _check_compressed(path)
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with _unprinted():
            array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise InputError(f"is truncated or damaged ({_reason(error)}); copy it again") from error
    return Volume(array.T.reshape(grid.shape, order="F"), grid.affine)


def read_grid(path: Path) -> Grid:
    """The grid from the header alone.

    Raises:
        InputError: As `read`.
    """
    return _grid(_reader(path), path)


def read_description(path: Path) -> str:
    """The comment in the header; empty if there is none.

    Raises:
        InputError: If the header cannot be read.
    """
    # Not by SimpleITK, which tells a MetaImage's comment to nobody.
    comment = _COMMENT.search(_header(path))
    return comment[1].decode("utf-8", "replace").strip() if comment else ""


def write(volume: Volume, path: Path, like: Any | None, description: str) -> None:
    """Write a compressed float32 volume."""
    import SimpleITK as sitk

    del like
    # ITK does not tell why it cannot write; the system does.
    path.touch()
    affine = _LPS_TO_RAS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.asarray(volume.array, dtype=np.float32).T)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetMetaData("Comment", description)
    try:
        with _unprinted():
            sitk.WriteImage(image, path, useCompression=True)
            del image  # so that it is not held beside the one that is read
            # The NRRD writer does not notice when the disk takes but a part of its last bytes.
            sitk.ReadImage(path)
    except RuntimeError as error:
        full = shutil.disk_usage(path.parent).free < 4 * volume.array.size
        raise OSError(errno.ENOSPC if full else errno.EIO, _reason(error)) from error


def _header(path: Path) -> bytes:
    """The lines before the voxels.

    Raises:
        InputError: If they do not end, or point to another file, which could be any of the machine.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER)
    end = _END[suffix].search(head)
    header = head[: end.end()] if end else head
    if _ELSEWHERE[suffix].search(header):
        raise InputError("keeps its voxels in another file, expected one file; convert it first")
    if end is None:
        raise InputError(
            f"is not a readable {suffix} file (its header has no end in the first {len(head)} "
            "bytes); check what it is, or convert the image again"
        )
    return header


def _check_compressed(path: Path) -> None:
    """Inflate a MetaImage: its reader takes damaged data for whole, and their rest for zeros.

    Raises:
        InputError: If the compressed data are damaged or cut off.
    """
    header = _header(path)
    if path.suffix.lower() != ".mha" or not _COMPRESSED.search(header):
        return
    inflating = zlib.decompressobj(wbits=47)  # zlib's or gzip's format, as MetaImage takes both
    with path.open("rb") as file:
        file.seek(len(header))
        try:
            while not inflating.eof and (part := file.read(_PART)):
                inflating.decompress(part)
        except zlib.error as error:
            raise InputError(f"is truncated or damaged ({error}); copy it again") from error
    if not inflating.eof:
        raise InputError("is truncated: its compressed data do not end; copy it again")


def _reader(path: Path) -> "sitk.ImageFileReader":
    import SimpleITK as sitk

    _header(path)
    kind = "NrrdImageIO" if path.suffix.lower() == ".nrrd" else "MetaImageIO"
    reader = sitk.ImageFileReader()
    reader.SetImageIO(kind)
    reader.SetFileName(path)
    try:
        with _unprinted():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(
            f"is not a readable {path.suffix.lower()} file ({_reason(error)}); check what it is"
        ) from error
    return reader


def _grid(reader: "sitk.ImageFileReader", path: Path) -> Grid:
    import SimpleITK as sitk

    shape = check_shape(reader.GetSize())
    pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1 or "complex" in pixel:
        raise InputError(
            f"holds {pixel} values, expected one real number a voxel; convert it first"
        )
    if path.suffix.lower() == ".nrrd" and not reader.HasMetaDataKey("NRRD_space"):
        raise InputError(
            "has no space field, so its orientation is unknown; expected one such as "
            "left-posterior-superior; convert the image again"
        )
    # Both formats may be compressed; one byte a voxel is the least that either can hold.
    check_length(path, math.prod(shape), compressed=True)
    dimension = reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(dimension, dimension)[:3, :3]
    affine: Affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return Grid(shape, _LPS_TO_RAS @ affine)


@contextmanager
def _unprinted() -> Iterator[None]:
    """Keep off the terminal what MetaImage's reader prints there besides raising an error.

    It prints past Python, to the process's standard error.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _reason(error: RuntimeError) -> str:
    """The last line of ITK's message that says what happened."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return next((line for line in reversed(lines) if line != "Reason: Success"), "no reason given")
