"""What a DICOM series is here: files as they were found, and its slices stacked in space."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from pydicom import Dataset

from hagan_clinic.volume import Grid


@dataclass(frozen=True, eq=False, repr=False)
class Instance:
    """One DICOM file.

    Attributes:
        name: Where it was found, below what was given: for messages to who gave it. It may hold
            what a site puts into file names, so it goes into no log, report or file name.
        open: Opens its bytes, wherever they are (a file, a member of an archive).
        header: Every standard element but the pixels, and `file_meta`; no private ones.
    """

    name: str
    open: Callable[[], BinaryIO]
    header: Dataset


@dataclass(frozen=True, eq=False)
class Series:
    """The instances that share a Series Instance UID, in the order they were found."""

    uid: str
    instances: tuple[Instance, ...]

    @property
    def header(self) -> Dataset:
        """Of the first instance: for what is the same in all."""
        return self.instances[0].header


@dataclass(frozen=True, eq=False)
class Slice:
    """One image plane: an instance, or a frame of an enhanced one.

    Attributes:
        instance: Its file.
        frame: Number of the frame from 0; 0 in a classic instance.
        plane: ImagePositionPatient, ImageOrientationPatient, PixelSpacing and, if there is one,
            SliceThickness, as the source has them: the same decimal strings.
    """

    instance: Instance
    frame: int
    plane: Dataset


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of one volume, ordered along their normal (row direction x column direction).

    Attributes:
        series: What they are of.
        slices: One a position, without gap or repetition.
        grid: Of (columns, rows, slices), the affine in RAS+ mm (PS3.3 C.7.6.2.1.1, with the first
            two axes turned from DICOM's LPS+).
    """

    series: Series
    slices: tuple[Slice, ...]
    grid: Grid
