"""A DICOM series that a page shows, and the one that a volume file was made from."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.derivation import FULL_SCALE
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.pixels import read_pixels
from hagan_clinic.imageio.dicom.scan import read_series, stack_sha256
from hagan_clinic.imageio.dicom.series import Series
from hagan_clinic.imageio.dicom.studies import find_studies
from hagan_clinic.volume import Volume


@dataclass(frozen=True)
class SeriesPlace:
    """A DICOM series, among others in a folder.

    Attributes:
        folder: Where it is, at any depth.
        uid: Its Series Instance UID.
        is_derived: Whether `translate` made it.
    """

    folder: Path
    uid: str
    is_derived: bool = False

    def read(self) -> Volume:
        """Its voxels: of a derived one from 0 to 1, of a scan in scanner units.

        Raises:
            InputError: It is not there any more, or cannot be read.
        """
        if not self.is_derived:
            return read_series(self.folder, "source", self.uid, allow_contrast=True).volume
        for series in find_series(self.folder).series:
            if series.uid == self.uid:
                return _derived(series)
        raise InputError("a derived series is not where it was; search again")


def read_made(path: Path) -> Volume:
    """What `translate` wrote: a volume file, or a derived series in a folder of its own.

    Raises:
        InputError: It cannot be read.
    """
    if not path.is_dir():
        return read(path)
    for series in find_series(path).series:
        return _derived(series)
    raise InputError(f"{path}: holds no DICOM series, expected a derived one")


def _derived(series: Series) -> Volume:
    made = stack(series)
    return Volume(read_pixels(made) / FULL_SCALE, made.grid.affine)


def series_by_sha256(
    folders: Iterable[Path], sizes: Container[int]
) -> Iterator[tuple[str, SeriesPlace]]:
    """The hash of each series among folders that has a number of files that is wanted."""
    for place in dict.fromkeys(one.folder for folder in folders for one in find_studies(folder)):
        for series in find_series(place).series:
            if len(series.instances) in sizes:
                with suppress(InputError):  # not one volume
                    yield stack_sha256(stack(series)), SeriesPlace(place, series.uid)
