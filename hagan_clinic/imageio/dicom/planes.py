"""The plane of a slice: where its header says that it is, checked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.enhanced import frames, is_enhanced
from hagan_clinic.imageio.dicom.series import Series, Slice
from hagan_clinic.imageio.dicom.values import number, numbers, text

Points = NDArray[np.float64]

VOXEL_MM = (0.005, 100.0)  # as for other formats: outside it the numbers are not mm
_UNIT = 2e-3  # cosines written with three decimals are that far from unit length and right angles

_PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


@dataclass(frozen=True, eq=False)
class Plane:
    """The checked plane of one slice.

    Attributes:
        position: Of the first pixel, LPS+ mm.
        directions: Unit vectors along a row and along a column.
        spacing: Between rows, then between columns, mm.
        matrix: Rows and columns.
    """

    position: Points
    directions: Points
    spacing: Points
    matrix: tuple[int, int]


def name_of(part: Slice) -> str:
    """The file of a slice, and its frame from 1 if there are several."""
    name = part.instance.name
    return f"{name}, frame {part.frame + 1}" if is_enhanced(part.instance.header) else name


def slices_of(series: Series) -> tuple[Slice, ...]:
    """The images of a series, or the frames of its enhanced ones, in the order found.

    Raises:
        InputError: If there is one only, or the frames are not described.
    """
    slices: list[Slice] = []
    for instance in series.instances:
        if is_enhanced(instance.header):
            slices.extend(frames(instance))
        else:
            plane = Dataset()
            for keyword in _PLANE:
                if keyword in instance.header:
                    _add(plane, instance.header, keyword)
            slices.append(Slice(instance, 0, plane))
    if len(slices) < 2:
        raise InputError(
            f"{name_of(slices[0]) if slices else series.instances[0].name}: is a single slice, "
            "expected a volume; give the whole series"
        )
    return tuple(slices)


def _add(plane: Dataset, header: Dataset, keyword: str) -> None:
    """Take an element over; one that pydicom cannot parse counts as missing."""
    try:
        plane.add(header[keyword])
    except Exception:
        return


def checked_plane(part: Slice) -> Plane:
    """Where a slice is.

    Raises:
        InputError: If an attribute is missing or malformed.
    """
    header = part.instance.header
    rows, columns = (number(header, keyword) or 0 for keyword in ("Rows", "Columns"))
    if min(rows, columns) < 1:
        raise InputError(f"{name_of(part)}: has no pixels ({rows:g} rows, {columns:g} columns)")
    position = _needed(part, "ImagePositionPatient", 3)
    cosines = _needed(part, "ImageOrientationPatient", 6).reshape(2, 3)
    spacing = _needed(part, "PixelSpacing", 2)
    lengths = np.linalg.norm(cosines, axis=1)
    if max(*np.abs(lengths - 1), abs(cosines[0] @ cosines[1])) > _UNIT:
        raise InputError(
            f"{name_of(part)}: its ImageOrientationPatient {numbers_text(cosines)} is not two unit "
            "vectors at a right angle; its geometry is unknown"
        )
    check_mm(part, "PixelSpacing", spacing)
    return Plane(position, cosines / lengths[:, None], spacing, (int(rows), int(columns)))


def _needed(part: Slice, keyword: str, count: int) -> Points:
    found = numbers(part.plane, keyword, count)
    if found is None:
        said = text(part.plane, keyword)[:64]
        raise InputError(
            f"{name_of(part)}: has {f'the {keyword} {said!r}' if said else f'no {keyword}'}, "
            f"expected {count} numbers; its geometry is unknown"
        )
    return found


def check_mm(part: Slice, what: str, found: Points) -> None:
    """Refuse distances that no scan has."""
    low, high = VOXEL_MM
    if found.min() < low or found.max() > high:
        raise InputError(
            f"{name_of(part)}: has the {what} {numbers_text(found)} mm, expected {low:g} to "
            f"{high:g} mm"
        )


def numbers_text(values: Points) -> str:
    """Numbers as a message says them."""
    return " ".join(f"{value:.6g}" for value in values.ravel())
