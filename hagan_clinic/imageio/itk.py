"""NRRD (.nrrd) and MetaImage (.mha), read and written by SimpleITK."""

import errno
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import check_length, check_shape
from hagan_clinic.volume import Affine, Grid, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

_MAX_HEADER = 2**16

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
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
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


def write(volume: Volume, path: Path, like: Path | None, description: str) -> None:
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
        sitk.WriteImage(image, path, useCompression=True)
        # The NRRD writer does not notice when the disk takes no more than part of its last bytes.
        sitk.ReadImage(path)
    except RuntimeError as error:
        full = shutil.disk_usage(path.parent).free < 4 * volume.array.size
        raise OSError(errno.ENOSPC if full else errno.EIO, _reason(error)) from error


def _check_attached(path: Path) -> None:
    """Refuse a header that points to another file, which could be any file of the machine."""
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER)
    if path.suffix.lower() == ".nrrd":
        fields = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
        detached = re.search(rb"^data ?file:", fields, re.IGNORECASE | re.MULTILINE)
    else:
        detached = re.search(rb"^ElementDataFile\s*=\s*(?!LOCAL\s)\S", head, re.MULTILINE)
    if detached:
        raise InputError("keeps its voxels in another file, expected one file; convert it first")


def _reader(path: Path) -> "sitk.ImageFileReader":
    import SimpleITK as sitk

    _check_attached(path)
    kind = "NrrdImageIO" if path.suffix.lower() == ".nrrd" else "MetaImageIO"
    reader = sitk.ImageFileReader()
    reader.SetImageIO(kind)
    reader.SetFileName(path)
    try:
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


def _reason(error: RuntimeError) -> str:
    """The last line of ITK's message that tells what happened."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return next((line for line in reversed(lines) if line != "Reason: Success"), "no reason told")
