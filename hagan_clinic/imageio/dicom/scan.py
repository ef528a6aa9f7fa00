"""A scan that is a DICOM series: the one that was chosen, its voxels, and what they lie on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom import archive
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.headers import is_dicom
from hagan_clinic.imageio.dicom.pixels import read_pixels
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.imageio.formats import SUFFIXES, suffix_of
from hagan_clinic.volume import Volume

_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class SeriesScan:
    """A series as a scan to translate.

    Attributes:
        stack: Its slices.
        volume: Their voxels in scanner units, axes (columns, rows, slices).
        sha256: Of its files' bytes, in the order of the slices.
    """

    stack: Stack
    volume: Volume
    sha256: str


def is_series(path: Path) -> bool:
    """Whether a path is to be read as DICOM: a folder without volume files, a file, a zip.

    Raises:
        InputError: A folder holds DICOM and volume files side by side.
    """
    if path.is_dir():
        files = [one for one in path.iterdir() if one.is_file()]
        volumes = [one for one in files if suffix_of(one) in SUFFIXES]
        if volumes and any(map(_is_dicom_file, files)):
            raise InputError(
                f"{path}: holds DICOM files and volume files ({volumes[0].name}), expected one "
                "kind; give the volume files by name, or move them away"
            )
        return not volumes
    if not path.is_file() or suffix_of(path) in SUFFIXES:
        return False
    return _is_dicom_file(path) or archive.is_archive(path)


def _is_dicom_file(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file)


def find_stack(
    path: Path, source: str, uid: str | None = None, *, allow_contrast: bool = False
) -> Stack:
    """The series of a folder, file, DICOMDIR or zip that a model's `source` is to be.

    Args:
        path: Where to look.
        source: What the model calls its input, such as `t1`.
        uid: Series Instance UID of the series to take, whatever its kind and weighting.
        allow_contrast: Take contrast-enhanced scans.

    Raises:
        InputError: See `find_series` and `choose`; the message names the path.
    """
    try:
        found = find_series(path)
        if path.is_dir() and not (found.series or found.damaged):
            raise InputError(
                f"{path}: holds no volume file ({', '.join(SUFFIXES)}) and no DICOM series, in its "
                "subfolders neither"
            )
        return choose(found, source, uid, allow_contrast=allow_contrast)
    except InputError as error:
        message = str(error)
        raise InputError(message if str(path) in message else f"{path}: {message}") from error


def read_series(
    path: Path, source: str, uid: str | None = None, *, allow_contrast: bool = False
) -> SeriesScan:
    """Choose a series and read its voxels; arguments as of `find_stack`.

    Raises:
        InputError: As `find_stack`, or a slice's pixels cannot be read (see `read_pixels`).
    """
    stack = find_stack(path, source, uid, allow_contrast=allow_contrast)
    return SeriesScan(stack, Volume(read_pixels(stack), stack.grid.affine), _sha256(stack))


def _sha256(stack: Stack) -> str:
    digest = hashlib.sha256()
    done = set()
    for part in stack.slices:
        instance = part.instance
        if id(instance) not in done:  # an enhanced file holds many slices
            done.add(id(instance))
            with instance.open() as file:
                for block in iter(lambda: file.read(_BLOCK), b""):
                    digest.update(block)
    return digest.hexdigest()
