"""A scan that is a DICOM series: the one that was chosen, its voxels, and what they lie on."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom import archive
from hagan_clinic.imageio.dicom.anonymous import without_names
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.headers import is_dicom
from hagan_clinic.imageio.dicom.pixels import read_pixels
from hagan_clinic.imageio.dicom.series import Series, Stack
from hagan_clinic.imageio.dicom.studies import Study
from hagan_clinic.imageio.dicom.values import text
from hagan_clinic.imageio.formats import SUFFIXES, is_volume_name, suffix_of
from hagan_clinic.volume import Volume

_BLOCK = 2**20
_SUFFIXES = (".dcm", ".ima")
"""Files called so are meant to be DICOM, and are refused with what they lack."""


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
        InputError: A folder holds DICOM and volume files side by side, or cannot be read.
    """
    try:
        if path.is_dir():
            return _is_series_folder(path)
        if not path.is_file() or suffix_of(path) in SUFFIXES:
            return False
        called = suffix_of(path) in _SUFFIXES
        return called or _is_dicom_file(path) or archive.is_archive(path)
    except OSError as error:
        raise InputError(f"a scan cannot be read ({error.strerror or error})") from None


def _is_series_folder(folder: Path) -> bool:
    files = [one for one in folder.iterdir() if one.is_file()]
    volumes = [one for one in files if is_volume_name(one)]
    # Of a file that cannot be read the reader tells, when its turn comes.
    if volumes and any(os.access(one, os.R_OK) and _is_dicom_file(one) for one in files):
        raise InputError(
            f"a folder holds DICOM files and volume files ({len(volumes)} of {len(files)}), "
            "expected one kind; give the volume files by name, or move them away"
        )
    return not volumes


def _is_dicom_file(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file)


def find_stack(
    path: Path,
    source: str,
    uid: str | None = None,
    *,
    allow_contrast: bool = False,
    called: str = "",
) -> Stack:
    """The series of a folder, file, DICOMDIR or zip that a model's `source` is to be.

    Args:
        path: Where to look.
        source: What the model calls its input, such as `t1`.
        uid: Series Instance UID of the series to take, whatever its kind and weighting.
        allow_contrast: Take contrast-enhanced scans.
        called: What messages call the place; the `source` if nothing is given.

    Raises:
        InputError: See `find_series` and `choose`.
    """
    with _anonymously(called or source, path):
        found = without_names(find_series(path))
        if path.is_dir() and not (found.series or found.damaged):
            raise InputError(
                f"holds no volume file ({', '.join(SUFFIXES)}) and no DICOM series, in its "
                "subfolders neither; give the folder of a scan"
            )
        return choose(found, source, uid, allow_contrast=allow_contrast)


def study_series(study: Study, sources: Sequence[str], *, allow_contrast: bool = False) -> str:
    """Series Instance UID of the series to translate of a study that shares its folder with others.

    Raises:
        InputError: See `choose`; or several series are wanted, which one UID cannot name.
    """
    if len(sources) > 1:
        raise InputError(
            f"the folder holds files of other studies too, and {' and '.join(sources)} of one are "
            "wanted; sort the files into a folder for each study"
        )
    with _anonymously(sources[0], study.folder):
        found = without_names(find_series(study.folder))
        own = [one for one in found.series if _study_of(one) == (study.patient, study.uid)]
        found = replace(found, series=tuple(own))
        return choose(found, sources[0], allow_contrast=allow_contrast).series.uid


def _study_of(series: Series) -> tuple[str, str]:
    return text(series.header, "PatientID"), text(series.header, "StudyInstanceUID")


def read_series(
    path: Path, source: str, uid: str | None = None, *, allow_contrast: bool = False
) -> SeriesScan:
    """Choose a series and read its voxels; arguments as of `find_stack`.

    Raises:
        InputError: As `find_stack`, or a slice's pixels cannot be read (see `read_pixels`).
    """
    stack = find_stack(path, source, uid, allow_contrast=allow_contrast)
    with _anonymously(source, path):
        return SeriesScan(stack, Volume(read_pixels(stack), stack.grid.affine), stack_sha256(stack))


@contextmanager
def _anonymously(called: str, path: Path) -> Iterator[None]:
    """Begin messages with what the scan is `called`, and let nothing of a patient into them.

    The message has neither the path, which sites name after patients, nor the error's cause:
    messages of pydicom and of the system quote values and names, and `--debug` would print them.
    """
    try:
        yield
    except InputError as error:
        raise type(error)(f"{called}: {str(error).removeprefix(f'{path}: ')}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{called}: cannot be read ({reason})") from None


def stack_sha256(stack: Stack) -> str:
    """Of the bytes of its files, in the order of the slices."""
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
