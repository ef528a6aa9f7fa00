"""The file formats by suffix, and the checks that hold for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio import freesurfer, itk, nifti
from hagan_clinic.imageio.atomic import atomic_path
from hagan_clinic.volume import Grid, Volume

DESCRIPTION = "SYNTHETIC NOT FOR DIAGNOSIS hagan-clinic"


class _Format(Protocol):
    """What the module of a format offers."""

    def read(self, path: Path) -> Volume: ...
    def read_grid(self, path: Path) -> Grid: ...
    def read_description(self, path: Path) -> str: ...
    def write(self, volume: Volume, path: Path, like: Any | None, description: str) -> None: ...


_FORMATS: dict[str, _Format] = {
    ".nii": nifti,
    ".nii.gz": nifti,
    ".mgz": freesurfer,
    ".mgh": freesurfer,
    ".nrrd": itk,
    ".mha": itk,
}
SUFFIXES = tuple(_FORMATS)

# Wide enough for mouse brains and for thick slices; outside it the affine is not in mm.
_VOXEL_MM = (0.005, 100.0)


@dataclass(frozen=True, eq=False)
class VolumeFile:
    """A volume file that was read.

    Attributes:
        path: Where.
        volume: As of `read`.
        header: Of NIfTI, whose geometry a file that is written like it takes over; else None.
    """

    path: Path
    volume: Volume
    header: Any | None

    @cached_property
    def description(self) -> str:
        """As of `read_description`."""
        if self.header is None:
            return read_description(self.path)
        return nifti.description_of(self.header)


def read(path: str | Path) -> Volume:
    """As `read_file`, the volume alone."""
    return read_file(path).volume


def read_file(path: str | Path) -> VolumeFile:
    """Read a volume file.

    Args:
        path: A file with one of `SUFFIXES`, holding one scalar 3D image (trailing axes of size
            one are dropped).

    Returns:
        The file with its volume as float32 in the file's axes, scaled as its header says.

    Raises:
        InputError: If the file is missing, damaged, of another kind, not one scalar 3D image,
            of unknown orientation, or holds NaN or infinite values.
    """
    path = Path(path)
    with _naming(path):
        _check_file(path)
        header = None
        if _is_nifti(path):
            volume, header = nifti.read_with_header(path)
        else:
            volume = _FORMATS[suffix_of(path)].read(path)
        _check_spacing(volume.grid)
        if not np.isfinite([volume.array.min(), volume.array.max()]).all():
            bad = volume.array.size - int(np.isfinite(volume.array).sum())
            raise InputError(
                f"{bad} of {volume.array.size} voxels are NaN or infinite, expected finite "
                "values; replace them first"
            )
    return VolumeFile(path, volume, header)


def read_grid(path: str | Path) -> Grid:
    """The grid of a volume, from its header alone.

    Raises:
        InputError: As `read`, but for the voxel values.
    """
    path = Path(path)
    with _naming(path):
        _check_file(path)
        grid = _FORMATS[suffix_of(path)].read_grid(path)
        _check_spacing(grid)
    return grid


def read_description(path: str | Path) -> str:
    """The text that `write` put into a file as its description; empty if there is none.

    NIfTI keeps it in ``descrip``, NRRD and MetaImage in a comment, FreeSurfer in a tag.

    Raises:
        InputError: As `read`, but for the voxel values.
    """
    path = Path(path)
    with _naming(path):
        _check_file(path)
        return _FORMATS[suffix_of(path)].read_description(path)


def write(
    volume: Volume,
    path: str | Path,
    like: str | Path | VolumeFile | None = None,
    description: str = DESCRIPTION,
) -> None:
    """Write a volume as float32; the file appears whole or not at all.

    Args:
        volume: The volume to write.
        path: A file with one of `SUFFIXES`.
        like: The file that the volume was made from, or its path. If both are NIfTI, both
            affines, their codes and the units are taken over bit for bit.
        description: Text for the header (of which NIfTI takes 79 characters).

    Raises:
        InputError: If `like` cannot be read.
        OutputError: If the suffix is unknown, `volume` does not lie on the grid of `like`, or the
            file cannot be written.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix not in _FORMATS:
        raise OutputError(f"{path}: {_unknown(suffix)}")
    header = None
    if like is not None:
        source, grid, header = _template(like)
        if not grid.same_as(volume.grid):
            raise OutputError(
                f"cannot write {path}: the volume does not lie on the grid of {source}; "
                "resample it to that grid first"
            )
    with atomic_path(path) as temporary:
        _FORMATS[suffix].write(volume, temporary, header, description)


def _template(like: str | Path | VolumeFile) -> tuple[Path, Grid, Any | None]:
    """Path, grid and, of NIfTI, header of what a file is written like."""
    if isinstance(like, VolumeFile):
        return like.path, like.volume.grid, like.header
    path = Path(like)
    return path, read_grid(path), nifti.read_header(path) if _is_nifti(path) else None


def _is_nifti(path: Path) -> bool:
    return _FORMATS.get(suffix_of(path)) is nifti


def suffix_of(path: Path) -> str:
    """The suffix in lower case; ``.gz`` counts together with the one before it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def is_volume_name(path: Path) -> bool:
    """Whether a file of a folder is called as a volume.

    One that begins with a dot is not: macOS leaves `._NAME` beside every file on foreign disks.
    """
    return suffix_of(path) in SUFFIXES and not path.name.startswith(".")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error.__cause__
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError("no such file; check the path")
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not a regular file"
        raise InputError(f"{found}, expected one volume file ({', '.join(SUFFIXES)})")
    with path.open("rb") as file:
        head = file.read(132)
    if not head:
        raise InputError("is empty (0 bytes); copy it again")
    if head[128:] == b"DICM":
        raise InputError(
            "is one DICOM file, expected a volume file "
            f"({', '.join(SUFFIXES)}); convert its series first, for example with dcm2niix"
        )
    if suffix_of(path) not in _FORMATS:
        raise InputError(_unknown(suffix_of(path)))


def _unknown(suffix: str) -> str:
    found = f"has the unknown suffix {suffix!r}" if suffix else "has no suffix"
    return f"{found}, expected one of {', '.join(SUFFIXES)}"


def _check_spacing(grid: Grid) -> None:
    low, high = _VOXEL_MM
    if not all(low <= step <= high for step in grid.spacing):
        steps = " x ".join(f"{step:.3g}" for step in grid.spacing)
        raise InputError(
            f"has voxels of {steps} mm by its affine, expected {low:g} to {high:g} mm; "
            "give the affine in mm"
        )
