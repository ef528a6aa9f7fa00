"""NIfTI-1 and NIfTI-2, single file: .nii and .nii.gz.

Only nibabel's headers are used to read: the voxels are read here, so that what the header claims
is checked before memory is taken for it.
"""

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
from hagan_clinic.volume import Grid, Shape, Volume

# Between the header and the voxels stand extensions, which are skipped.
_MAX_OFFSET = 2**26

# A quaternion written with four decimals is up to this much longer than 1, squared.
_ROUNDING = 1e-3

_GEOMETRY = (
    *("qform_code", "sform_code", "xyzt_units"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)


def read(path: Path) -> Volume:
    """As `read_with_header`, the volume alone."""
    return read_with_header(path)[0]


def read_with_header(path: Path) -> tuple[Volume, Any]:
    """Read a NIfTI file; the values are scaled by the header's slope and intercept.

    The affine is the sform if its code is not 0, else the qform, as in nibabel.

    Raises:
        InputError: If the file is not one scalar 3D image of known orientation.
    """
    compressed = _compressed(path)
    with open_data(path, compressed) as stream:
        header = _read_header(stream)
        grid = _grid(header)
        dtype = _dtype(header)
        slope, intercept = _scaling(header)
        offset = _offset(header)
        size = int(np.prod(grid.shape)) * dtype.itemsize
        check_length(path, offset + size, compressed)
        read_exactly(stream, offset - header.structarr.itemsize)
        raw = read_exactly(stream, size).view(dtype)
        read_end(stream)
    # What overflows becomes infinite, and the reader's caller refuses that.
    with np.errstate(over="ignore", invalid="ignore"):
        array = raw.reshape(grid.shape, order="F").astype(np.float32, copy=False)
        if (slope, intercept) != (1.0, 0.0):
            array *= np.float32(slope)
            array += np.float32(intercept)
    return Volume(array, grid.affine), header


def read_grid(path: Path) -> Grid:
    """The grid from the header alone.

    Raises:
        InputError: As `read`.
    """
    return _grid(read_header(path))


def read_description(path: Path) -> str:
    """The field `descrip`.

    Raises:
        InputError: If the header cannot be read.
    """
    return description_of(read_header(path))


def description_of(header: Any) -> str:
    """The field `descrip` of a header."""
    field = bytes(header["descrip"])
    return field.partition(b"\0")[0].decode("utf-8", "replace").strip()


def write(volume: Volume, path: Path, like: Any | None, description: str) -> None:
    """Write float32 NIfTI; from a header `like` the geometry fields are copied as they stand."""
    import nibabel as nib

    affine: Any = None
    if like is not None:
        header = type(like)()
        for field in _GEOMETRY:
            header[field] = like[field]
        header["pixdim"][:4] = like["pixdim"][:4]
    else:
        affine = volume.affine
        header = nib.Nifti1Header()
        header.set_xyzt_units("mm")
    header.set_data_dtype(np.float32)
    header["descrip"] = description.encode("ascii", "replace")[:79]
    # The second version keeps affines in float64, which the first could not hold exactly.
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(np.asarray(volume.array, dtype=np.float32), affine, header)
    if affine is not None:
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
        if not Grid(volume.shape, image.get_qform()).same_as(volume.grid):
            # A quaternion holds no shear; then only the sform tells the place.
            image.header["qform_code"] = 0
    image.to_filename(path)


def _compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def read_header(path: Path) -> Any:
    """A nibabel header of either version.

    Raises:
        InputError: If there is none at the file's start.
    """
    with open_data(path, _compressed(path)) as stream:
        return _read_header(stream)


def _read_header(stream: BufferedIOBase) -> Any:
    """A nibabel header of either version and byte order, structurally sound."""
    from nibabel import Nifti1Header, Nifti2Header

    block = b""
    kind: Any
    for kind in (Nifti1Header, Nifti2Header):
        block += stream.read(kind.sizeof_hdr - len(block))
        if len(block) == kind.sizeof_hdr and kind.may_contain_header(block):
            break
    else:
        raise InputError("is not a NIfTI file (no NIfTI header at its start); check what it is")
    header = kind(block, check=False)
    _mend_qform(header)
    if bytes(header["magic"])[:2] != b"n+":
        raise InputError("is the header of a NIfTI pair, expected a single file; convert it first")
    return header


def _mend_qform(header: Any) -> None:
    """Take what writers leave open as the standard's own code does (`nifti1.h`, "METHOD 2").

    A qfac that is neither 1 nor -1 counts by its sign, 0 as 1; a quaternion that is longer than
    its unit by rounding alone is shortened to it.
    """
    if abs(header["pixdim"][0]) != 1:
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    fields = ("quatern_b", "quatern_c", "quatern_d")
    length = float(np.linalg.norm([float(header[field]) for field in fields]))
    if 1 < length**2 <= 1 + _ROUNDING:
        for field in fields:
            header[field] /= length


def _grid(header: Any) -> Grid:
    from nibabel.spatialimages import HeaderDataError

    try:
        shape: Shape = check_shape(header.get_data_shape())
        if header["sform_code"] > 0:
            return Grid(shape, header.get_sform())
        if header["qform_code"] > 0:
            return Grid(shape, header.get_qform())
    except (HeaderDataError, ValueError) as error:
        raise InputError(f"has a damaged header ({error}); convert the image again") from error
    raise InputError(
        "has neither an sform nor a qform (both codes are 0), so its orientation is unknown; "
        "set one of them, for example with FSL's fslorient -setsformcode 1"
    )


def _dtype(header: Any) -> np.dtype[Any]:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        code = int(header["datatype"])
        raise InputError(f"has the unknown data type {code}; convert the image again") from error
    if dtype.kind not in "iuf":
        name = "RGB" if dtype.names else "complex" if dtype.kind == "c" else "unknown"
        raise InputError(f"holds {name} values, expected one real number a voxel; convert it first")
    return dtype


def _scaling(header: Any) -> tuple[float, float]:
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"has a damaged value scaling ({error}); convert it again") from error
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))


def _offset(header: Any) -> int:
    offset = float(header["vox_offset"])
    if not header.single_vox_offset <= offset <= _MAX_OFFSET:
        raise InputError(
            f"has a damaged header (its voxels begin at byte {offset:g}, expected "
            f"{header.single_vox_offset} or more); convert the image again"
        )
    return int(offset)
