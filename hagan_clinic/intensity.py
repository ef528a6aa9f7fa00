"""Scanner units to the network's [-1, 1] and back: the definition training and deployment share.

The window of a source is the 0.5 to 99.5 percentile range of its non-background voxels within
40 mm of their centre of mass, which lies deep in the brain: there a head with its skull and the
same head without it show the same voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

PERCENTILES = (0.5, 99.5)
RADIUS_MM = 40.0

# A voxel is background if it differs from the background level by less than this part of the
# 98th percentile of the differences. Air noise stays below, cerebrospinal fluid above.
BACKGROUND_PART = 0.1


@dataclass(frozen=True)
class Window:
    """The scanner values that become -1 and 1."""

    low: float
    high: float


def foreground(array: NDArray[Any]) -> NDArray[np.bool_]:
    """The voxels that are not background, for whole heads and for skull-stripped brains.

    The background level is the most frequent value on the faces of the array (0 around a
    stripped brain, a low value in air).

    Args:
        array: Scanner values, three axes.

    Raises:
        InputError: If a value is not finite or all are equal.
    """
    faces = [array[0], array[-1], array[:, 0], array[:, -1], array[:, :, 0], array[:, :, -1]]
    values, counts = np.unique(np.concatenate([f.ravel() for f in faces]), return_counts=True)
    level = values[counts.argmax()]
    distance = np.abs(array - level.astype(np.float32))
    if not np.isfinite(distance.max()):
        raise InputError("the image holds NaN or infinite values; replace them before translating")
    different = distance[distance > 0]
    if different.size == 0:
        raise InputError(
            f"all voxels have the value {float(level):g}: the image is empty; expected a brain"
        )
    result: NDArray[np.bool_] = distance > BACKGROUND_PART * np.percentile(different, 98)
    return result


def source_window(
    array: NDArray[Any],
    spacing: Sequence[float],
    mask: NDArray[np.bool_] | None = None,
    *,
    percentiles: tuple[float, float] = PERCENTILES,
    radius_mm: float = RADIUS_MM,
) -> Window:
    """The window of a source image.

    Args:
        array: Scanner values, three axes.
        spacing: Voxel size in mm along each axis.
        mask: Brain mask of the same shape; its voxels stand in for the non-background ones.
        percentiles: The lower and upper percentile.
        radius_mm: Radius of the sphere around the centre of mass.

    Raises:
        InputError: If the image is constant or not finite there, or the mask is empty.
    """
    if mask is None:
        mask = foreground(array)
    elif not mask.any():
        raise InputError("the brain mask is empty; expected a mask that marks the brain")
    step = np.array(spacing, dtype=np.float64)
    centre = _centre_of_mass(mask)
    reach = radius_mm / step
    first = np.maximum(np.floor(centre - reach), 0).astype(int)
    last = np.minimum(np.ceil(centre + reach), np.array(mask.shape) - 1).astype(int)
    box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
    d, h, w = (
        ((np.arange(a, b + 1) - c) * s) ** 2
        for a, b, c, s in zip(first, last, centre, step, strict=True)
    )
    near = d[:, None, None] + h[:, None] + w <= radius_mm**2
    return _window(array[box][mask[box] & near], percentiles)


def target_window(
    array: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    percentiles: tuple[float, float] = PERCENTILES,
) -> Window:
    """The window of a target or reference image: percentiles of its voxels in the brain mask.

    Raises:
        InputError: As `source_window`.
    """
    if not mask.any():
        raise InputError("the brain mask is empty; expected a mask that marks the brain")
    return _window(array[mask], percentiles)


def to_unit(array: NDArray[Any], window: Window) -> NDArray[np.float32]:
    """Scanner values to float32 in [-1, 1]; values outside the window are clipped."""
    unit = array.astype(np.float32)
    unit -= np.float32(window.low)
    unit *= np.float32(2 / (window.high - window.low))
    unit -= np.float32(1)
    return np.clip(unit, -1, 1, out=unit)


def from_unit(array: NDArray[Any]) -> NDArray[np.float32]:
    """[-1, 1] to float32 in [0, 1]; values outside are clipped."""
    fraction = array.astype(np.float32)
    fraction += np.float32(1)
    fraction *= np.float32(0.5)
    return np.clip(fraction, 0, 1, out=fraction)


def _window(values: NDArray[Any], percentiles: tuple[float, float]) -> Window:
    low, high = np.percentile(values, percentiles) if values.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("the image holds NaN or infinite values; replace them before translating")
    if not high > low:
        raise InputError(
            f"the brain region has the one value {float(low):g}: no contrast to translate; "
            "expected a brain image"
        )
    return Window(float(low), float(high))


def _centre_of_mass(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    centre = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        profile = mask.sum(axis=others, dtype=np.float64)
        centre.append(float(profile @ np.arange(profile.size)) / profile.sum())
    return np.array(centre)
