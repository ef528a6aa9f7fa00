"""The geometry gate: slices that make one volume become a stack, all others are refused by name.

Nothing is guessed and nothing is mended: no slice is left out, no spacing assumed. What counts as
the same is set by how positions are written. Scanners write at most 16 characters a number and
many exporters far fewer; two decimals of a millimetre, the fewest in use, put a position up to
0.0087 mm away from its place (half a hundredth along each axis), and the line through the first
and the last one as far again. The real series in the tests lie within 0.0008 mm. A slice that is
missing, doubled or displaced is at least a tenth of a millimetre away.
"""

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import check_shape
from hagan_clinic.imageio.dicom.enhanced import is_enhanced
from hagan_clinic.imageio.dicom.mixture import (
    refuse_copies,
    refuse_mixed,
    refuse_other_kinds,
    refuse_parts,
)
from hagan_clinic.imageio.dicom.planes import (
    VOXEL_MM,
    Points,
    check_mm,
    checked_plane,
    name_of,
    slices_of,
)
from hagan_clinic.imageio.dicom.series import Series, Slice, Stack
from hagan_clinic.imageio.dicom.values import number, text
from hagan_clinic.volume import Grid

POSITION_MM = 0.02
"""How far a slice may lie from its place on the lattice (see above), if slices are not so close
that this were more than a tenth of their distance."""

TILT = 1e-3
"""Slope of the line of slices against their normal that counts as none: 0.2 mm in 200 mm, which
the affine then carries; gantries tilt by degrees."""


def stack(series: Series) -> Stack:
    """The slices of a series as one volume.

    The affine is that of PS3.3, C.7.6.2.1.1: in plane from ImageOrientationPatient and
    PixelSpacing, across from the first and the last ImagePositionPatient.

    Raises:
        InputError: If geometry is missing or malformed, slices differ in matrix, orientation,
            pixel spacing or frame of reference, one is missing, doubled or displaced, there are
            several volumes, a part of a concatenation is missing, a localizer is mixed in, the
            gantry is tilted, or it is a mosaic.
    """
    refuse_other_kinds(series)
    refuse_copies(series)
    refuse_parts(series)
    slices = slices_of(series)
    planes = [checked_plane(part) for part in slices]
    refuse_mixed(slices, planes)
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


def _refuse_repeated(slices: tuple[Slice, ...], positions: Points, normal: Points) -> None:
    """Refuse several slices at one place: copies, several volumes, or tiles of one plane."""
    depths = positions @ normal
    same = np.diff(depths) <= min(POSITION_MM, VOXEL_MM[0])
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
    check_mm(slices[0], "distance between slices", np.array([usual]))
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
    locations = [number(part.instance.header, "SliceLocation") for part in slices]
    found = np.array([value for value in locations if value is not None])
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
