"""The geometry gate: slices that make one volume become a stack, all others are refused by name.

Nothing is guessed and nothing is mended: no slice is left out, no spacing assumed. What counts as
the same is set by how positions are written. Scanners write at most 16 characters a number and
many exporters far fewer; two decimals of a millimetre, the fewest in use, put a position up to
0.0087 mm away from its place (half a hundredth along each axis), and the line through the first
and the last one as far again. The real series in the tests lie within 0.0008 mm. A slice that is
missing, doubled or displaced is at least a tenth of a millimetre away.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import check_shape
from hagan_clinic.imageio.dicom.enhanced import frames, is_enhanced
from hagan_clinic.imageio.dicom.series import Series, Slice, Stack
from hagan_clinic.imageio.dicom.values import number, numbers, text, words
from hagan_clinic.volume import Grid

Points = NDArray[np.float64]

POSITION_MM = 0.02
"""How far a slice may lie from its place on the lattice (see above), if slices are not so close
that this were more than a tenth of their distance."""

COSINE = 1e-4
"""Difference of orientation cosines that counts as none: 0.012 mm at 120 mm from the centre."""

TILT = 1e-3
"""Slope of the line of slices against their normal that counts as none: 0.2 mm in 200 mm, which
the affine then carries; gantries tilt by degrees."""

_UNIT = 2e-3  # cosines written with three decimals are that far from unit length and right angles
_PIXEL_MM = 1e-4  # the last decimal of a pixel spacing
_VOXEL_MM = (0.005, 100.0)  # as for other formats: outside it the numbers are not mm

_PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")

# What a scan has one of besides, and how its pixels are stored.
_ONE_VALUE = (
    "FrameOfReferenceUID",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)


def stack(series: Series) -> Stack:
    """The slices of a series as one volume.

    The affine is that of PS3.3, C.7.6.2.1.1: in plane from ImageOrientationPatient and
    PixelSpacing, across from the first and the last ImagePositionPatient.

    Raises:
        InputError: If geometry is missing or malformed, slices differ in matrix, orientation,
            pixel spacing or frame of reference, one is missing, doubled or displaced, there are
            several volumes, a localizer is mixed in, the gantry is tilted, or it is a mosaic.
    """
    _refuse_other_kinds(series)
    _refuse_copies(series)
    slices = _slices(series)
    planes = [_checked_plane(part) for part in slices]
    _refuse_mixed(slices, planes)
    directions = planes[0].directions
    normal = np.cross(*directions)
    positions = np.array([plane.position for plane in planes])
    order = np.argsort(positions @ normal, kind="stable")
    slices = tuple(slices[index] for index in order)
    positions = positions[order]
    _refuse_repeated(slices, positions, normal)
    step = _checked_step(slices, positions, normal)
    _refuse_contradiction(slices)

    rows, columns = planes[0].matrix
    down, along = planes[0].spacing
    affine = np.eye(4)
    affine[:3, 0] = directions[0] * along
    affine[:3, 1] = directions[1] * down
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    affine[:2] *= -1  # DICOM's axes point to the left and to the back
    shape = _checked_shape(slices, (columns, rows, len(slices)))
    return Stack(series, slices, Grid(shape, affine))


@dataclass(frozen=True, eq=False)
class _Plane:
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


def _refuse_other_kinds(series: Series) -> None:
    """Mosaics, and localizers under the UID of another scan."""
    kinds = {one.name: words(one.header, "ImageType") for one in series.instances}
    for name, kind in kinds.items():
        if "MOSAIC" in kind:
            raise InputError(
                f"{name}: is a mosaic (ImageType), many slices tiled in one image, expected one "
                "image a slice; export the series as enhanced or single-frame MR"
            )
    localizers = [name for name, kind in kinds.items() if "LOCALIZER" in kind]
    if localizers and len(localizers) < len(kinds):
        raise InputError(
            f"{localizers[0]}: is a localizer among other images under one series UID "
            f"({len(localizers)} of {len(kinds)} images are localizers), expected one volume; "
            "leave the localizers out"
        )


def _refuse_copies(series: Series) -> None:
    """Two files of one SOP Instance UID, and images of several patients or studies."""
    first: dict[str, str] = {}
    for one in series.instances:
        uid = text(one.header, "SOPInstanceUID")
        if uid in first:
            raise InputError(
                f"{one.name}: has the SOP Instance UID of {first[uid]}, expected each image once; "
                "leave the copy out"
            )
        first[uid] = one.name
    for keyword, what in (("StudyInstanceUID", "study"), ("PatientID", "patient")):
        values = [text(one.header, keyword) for one in series.instances]
        (usual, often), *others = Counter(values).most_common()
        if others:
            odd = next(
                one for one, value in zip(series.instances, values, strict=True) if value != usual
            )
            raise InputError(
                f"{odd.name}: is of another {what} ({keyword}) than {often} of {len(values)} "
                "images under its series UID, expected one"
            )


def _slices(series: Series) -> tuple[Slice, ...]:
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


def _checked_plane(part: Slice) -> _Plane:
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
            f"{name_of(part)}: its ImageOrientationPatient {_told(cosines)} is not two unit "
            "vectors at a right angle; its geometry is unknown"
        )
    _check_mm(part, "PixelSpacing", spacing)
    return _Plane(position, cosines / lengths[:, None], spacing, (int(rows), int(columns)))


def _needed(part: Slice, keyword: str, count: int) -> Points:
    found = numbers(part.plane, keyword, count)
    if found is None:
        told = text(part.plane, keyword)[:64]
        raise InputError(
            f"{name_of(part)}: has {f'the {keyword} {told!r}' if told else f'no {keyword}'}, "
            f"expected {count} numbers; its geometry is unknown"
        )
    return found


def _check_mm(part: Slice, what: str, found: Points) -> None:
    low, high = _VOXEL_MM
    if found.min() < low or found.max() > high:
        raise InputError(
            f"{name_of(part)}: has the {what} {_told(found)} mm, expected {low:g} to {high:g} mm"
        )


def _refuse_mixed(slices: tuple[Slice, ...], planes: list[_Plane]) -> None:
    """Refuse slices that differ in what a volume has once; the odd ones are named."""
    _refuse_odd(slices, [plane.matrix for plane in planes], "matrix (rows, columns)")
    for what, rows, tolerance in (
        ("ImageOrientationPatient", [plane.directions.ravel() for plane in planes], COSINE),
        ("PixelSpacing", [plane.spacing for plane in planes], _PIXEL_MM),
    ):
        table = np.array(rows)
        if (np.abs(table - table[0]) > tolerance).any():
            # Each stands for the first row that it equals within the tolerance.
            firsts = [
                int(np.argmax((np.abs(table - row) <= tolerance).all(axis=1))) for row in table
            ]
            _refuse_odd(slices, firsts, what, [_told(table[first]) for first in firsts])
    _refuse_odd(slices, [_echo_time(part) for part in slices], "EchoTime")
    for keyword in _ONE_VALUE:
        values = [text(part.instance.header, keyword) or "none" for part in slices]
        _refuse_odd(slices, values, keyword)


def _echo_time(part: Slice) -> str:
    """To three digits: the second echo of a pair is several times the first."""
    echo = number(part.instance.header, "EchoTime")
    return "none" if echo is None else f"{echo:.3g} ms"


def _refuse_odd(
    slices: tuple[Slice, ...],
    values: Sequence[Hashable],
    what: str,
    told: Sequence[str] | None = None,
) -> None:
    """Refuse slices of different `values`; `told` is how a message says them."""
    (usual, often), *others = Counter(values).most_common()
    if not others:
        return
    odd, seldom = others[-1]
    first, like_most = values.index(odd), values.index(usual)
    said = told or [str(value) for value in values]
    raise InputError(
        f"{name_of(slices[first])}: has the {what} {said[first]}, where {often} of {len(slices)} "
        f"slices have {said[like_most]} (and {seldom} have its); expected one volume: export the "
        "images of one scan alone"
    )


def _refuse_repeated(slices: tuple[Slice, ...], positions: Points, normal: Points) -> None:
    """Refuse several slices at one place: copies, several volumes, or tiles of one plane."""
    depths = positions @ normal
    same = np.diff(depths) <= min(POSITION_MM, _VOXEL_MM[0])
    if not same.any():
        return
    first = int(np.argmax(same))
    one, other = slices[first : first + 2]
    pair = f"{name_of(one)} and {name_of(other)}"
    if np.linalg.norm(positions[first + 1] - positions[first]) > POSITION_MM:
        raise InputError(
            f"{pair}: lie side by side in one plane, "
            f"{np.linalg.norm(positions[first + 1] - positions[first]):.4g} mm apart, expected "
            "slices above each other: this is no volume"
        )
    if same.all():
        raise InputError(
            f"{pair}: lie at one place, and so do all {len(slices)} slices"
            f"{_what_varies(one, other)}, expected slices above each other: this is no volume"
        )
    places = np.cumsum(np.concatenate([[True], ~same]))
    counts = np.bincount(places)[1:]
    if (counts == counts[0]).all():
        raise InputError(
            f"{pair}: lie at one place, and so do {counts[0]} slices at each of {len(counts)} "
            f"places{_what_varies(one, other)}: a 4D series of {counts[0]} volumes, expected one; "
            "export one of them alone"
        )
    raise InputError(
        f"{pair}: lie at one place ({len(slices)} slices at {len(counts)} places), expected one "
        "slice a place; leave the copy out"
    )


# Attributes that tell the volumes of a 4D series apart, of a classic instance.
_TELLING = (
    "TemporalPositionIdentifier",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "AcquisitionNumber",
    "ImageType",
    "TriggerTime",
)


def _what_varies(one: Slice, other: Slice) -> str:
    for keyword in _TELLING:
        first, second = (text(part.instance.header, keyword) for part in (one, other))
        if first != second:
            return f" ({keyword} {first or 'none'} and {second or 'none'})"
    return ""


def _checked_step(slices: tuple[Slice, ...], positions: Points, normal: Points) -> Points:
    """The vector from one slice to the next, if it is the same everywhere and along the normal."""
    depths = positions @ normal
    steps = np.diff(depths)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    tolerance = min(POSITION_MM, usual / 10)
    for index in np.flatnonzero(np.abs(steps - usual) > 2 * tolerance):
        between = f"{name_of(slices[index])} and {name_of(slices[index + 1])}"
        times = steps[index] / usual
        if round(times) >= 2 and abs(times - round(times)) * usual <= 2 * tolerance:
            count = round(times) - 1
            raise InputError(
                f"{between}: {count} slice{'s are' if count > 1 else ' is'} missing between them "
                f"(they are {steps[index]:.4f} mm apart, the others {usual:.4f} mm); "
                "export the series again, whole"
            )
        raise InputError(
            f"{between}: are {steps[index]:.4f} mm apart, where the others are {usual:.4f} mm: "
            "the spacing is not uniform, expected one distance between slices"
        )
    _check_mm(slices[0], "distance between slices", np.array([usual]))
    across = positions[-1] - positions[0]
    drift = across - (across @ normal) * normal
    extent = float(depths[-1] - depths[0])
    if np.linalg.norm(drift) > max(POSITION_MM, TILT * extent):
        angle = np.degrees(np.arctan2(np.linalg.norm(drift), extent))
        raise InputError(
            f"{name_of(slices[0])}: the line of slices is tilted by {angle:.2f}° against their "
            "normal (gantry tilt), expected slices straight above each other; resample the scan "
            "first"
        )
    places = positions[0] + np.linspace(0, 1, len(slices))[:, None] * across
    distances = np.linalg.norm(positions - places, axis=1)
    worst = int(distances.argmax())
    if distances[worst] > tolerance:
        raise InputError(
            f"{name_of(slices[worst])}: lies {distances[worst]:.4f} mm away from its place between "
            f"the first and the last slice, expected at most {tolerance:.4g} mm: the spacing is "
            "not uniform"
        )
    step: Points = across / (len(slices) - 1)
    return step


def _refuse_contradiction(slices: tuple[Slice, ...]) -> None:
    """Refuse positions that put the slices into another order than SliceLocation does."""
    told = [number(part.instance.header, "SliceLocation") for part in slices]
    found = np.array([value for value in told if value is not None])
    if len(found) < len(slices) or is_enhanced(slices[0].instance.header):
        return
    steps = np.diff(found)
    wrong = steps < 0 if np.sum(steps > 0) >= np.sum(steps < 0) else steps > 0
    if wrong.any() and not wrong.all():
        index = int(np.argmax(wrong))
        raise InputError(
            f"{name_of(slices[index])} and {name_of(slices[index + 1])}: follow each other by "
            f"ImagePositionPatient, but not by SliceLocation ({found[index]:g} and "
            f"{found[index + 1]:g} mm): the header contradicts itself"
        )


def _checked_shape(slices: tuple[Slice, ...], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        return check_shape(shape)
    except InputError as error:
        raise InputError(f"{name_of(slices[0])}: {error}") from None


def _told(values: Points) -> str:
    return " ".join(f"{value:.6g}" for value in values.ravel())
