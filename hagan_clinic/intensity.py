"""Scanner units to the network's [-1, 1] and back: the definition training and deployment share.

The window of a source is the 0.5 to 99.5 percentile range of its non-background voxels within
40 mm of the centre of mass of the head's top 150 mm. That sphere lies deep in the brain, where a
head with its skull and the same head without it show the same voxels; the neck, of which scans
hold more or less, is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

PERCENTILES = (0.5, 99.5)
RADIUS_MM = 40.0
HEAD_MM = 150.0

# Air noise lies below this part of the bright tissues' mean, grey and white matter above.
_BACKGROUND_PART = 0.15

# Within the brain even the darkest fluid counts; only empty voxels, and what interpolation leaves
# beside them, lie below this part.
_EMPTY_PART = 0.01

# A slice is one of the head, not of noise specks, if it holds this part of the foreground voxels
# of the fullest slice. A slice through the vertex does in the first millimetre.
_SLICE_PART = 0.01


@dataclass(frozen=True)
class Window:
    """The scanner values that become -1 and 1."""

    low: float
    high: float

    def at(self, part: float) -> np.float32:
        """The scanner value a part of the way from the low end to the high one."""
        return np.float32(self.low + part * (self.high - self.low))


@dataclass(frozen=True, eq=False)
class Signal:
    """An image parted from its background.

    Attributes:
        distance: Each voxel's difference from the background level; it may be the image itself.
        bright: Its mean in the bright tissues, which are the brighter of Otsu's (1979) two classes.
    """

    distance: NDArray[np.float32]
    bright: float

    @cached_property
    def head(self) -> NDArray[np.bool_]:
        """The voxels that are not background, for whole heads and for skull-stripped brains.

        These differ from the background level by more than 15 % of the mean difference of the
        bright tissues. Where the dark class is air, the threshold lies above its noise; where the
        air is gone, Otsu parts tissues from each other, and the threshold still lies below both.
        """
        return self.distance > _BACKGROUND_PART * self.bright


def signal_of(array: NDArray[Any]) -> Signal:
    """Part scanner values, three axes, from their background.

    Raises:
        InputError: If a value is not finite or all are equal.
    """
    array = np.asarray(array, np.float32)
    level = np.float32(_background_level(array))
    lowest, highest = array.min(), array.max()
    if not np.isfinite([lowest, highest]).all():
        raise InputError("the image holds NaN or infinite values; replace them first")
    if lowest == highest:
        raise InputError(
            f"all voxels have the value {float(lowest):g}: the image is empty; expected a brain"
        )
    distance = array
    if level != 0:
        distance = array - level
    if lowest < level:
        distance = np.abs(distance, out=None if distance is array else distance)
    # In order, so that percentile and histogram are looked up instead of counted.
    different = distance[distance > 0]
    different.sort()
    # A few spikes must not stretch the histogram.
    highest = np.percentile(different, 99.99)
    edges = np.histogram_bin_edges(different[:0], 256, (0.0, highest))
    ends = [*np.searchsorted(different, edges[:-1]), np.searchsorted(different, highest, "right")]
    return Signal(distance, _bright_mean(np.diff(ends), edges))


def foreground(array: NDArray[Any]) -> NDArray[np.bool_]:
    """The voxels that are not background (see `Signal.head`).

    Raises:
        InputError: As `signal_of`.
    """
    return signal_of(array).head


def occupied_spans(mask: NDArray[np.bool_], part: float = _SLICE_PART) -> list[tuple[int, int]]:
    """First slice of the head along each axis and the one after its last.

    Args:
        mask: Where the head or the brain is, three axes; at least one voxel is set.
        part: A slice with fewer voxels than this part of the fullest one's holds noise specks
            alone and is left out; 0 keeps every slice that holds a voxel, as of a drawn mask.
    """
    return [_occupied(counts, part) for counts in _profiles(mask)]


def occupied_span(mask: NDArray[np.bool_], axis: int, part: float = _SLICE_PART) -> tuple[int, int]:
    """As `occupied_spans`, along one axis."""
    return _occupied(_slices(mask) if axis == 0 else _profiles(mask)[axis], part)


def head_centre(
    head: NDArray[np.bool_], spacing: Sequence[float], head_mm: float = HEAD_MM
) -> list[float]:
    """Centre of mass of the head's top, in voxels: deep in the brain, with skull or without.

    Args:
        head: The foreground, canonical axes (D, H, W).
        spacing: Voxel size in mm along each axis.
        head_mm: Length of the top, from which the neck is left out.
    """
    lowest = max(occupied_span(head, 0)[1] - round(head_mm / spacing[0]), 0)
    depth, height, width = _centre_of_mass(head[lowest:])
    return [lowest + depth, height, width]


def source_window(
    array: NDArray[Any],
    spacing: Sequence[float],
    mask: NDArray[np.bool_] | None = None,
    *,
    percentiles: tuple[float, float] = PERCENTILES,
    radius_mm: float = RADIUS_MM,
    head_mm: float = HEAD_MM,
    signal: Signal | None = None,
) -> Window:
    """The window of a source image.

    Args:
        array: Scanner values, canonical axes (D, H, W).
        spacing: Voxel size in mm along each axis.
        mask: Brain mask of the same shape; its voxels stand in for the non-background ones.
        percentiles: The lower and upper percentile.
        radius_mm: Radius of the sphere around the centre of mass.
        head_mm: Length of the head, from its top, whose centre of mass is taken.
        signal: Of the array, where it is known already.

    Raises:
        InputError: If the image is constant or not finite there, or the mask is empty.
    """
    if mask is None:
        signal = signal or signal_of(array)
        centre = head_centre(signal.head, spacing, head_mm)
        box, counted = sphere(array.shape, centre, spacing, radius_mm)
        counted &= signal.distance[box] > _EMPTY_PART * signal.bright
    elif mask.any():
        box, counted = sphere(array.shape, _centre_of_mass(mask), spacing, radius_mm)
        counted &= mask[box]
    else:
        raise InputError("the brain mask is empty; expected a mask that marks the brain")
    return _window(array[box][counted], percentiles)


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


def to_unit(
    array: NDArray[Any], window: Window, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Scanner values to float32 in [-1, 1], in `out` if given; outside the window is clipped."""
    unit = np.empty(array.shape, np.float32) if out is None else out
    unit[...] = array
    unit -= np.float32(window.low)
    unit *= np.float32(2 / (window.high - window.low))
    unit -= np.float32(1)
    return np.clip(unit, -1, 1, out=unit)


def from_unit(array: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """[-1, 1] to float32 in [0, 1], in `out` if given; values outside are clipped."""
    fraction = np.empty(array.shape, np.float32) if out is None else out
    fraction[...] = array
    fraction += np.float32(1)
    fraction *= np.float32(0.5)
    return np.clip(fraction, 0, 1, out=fraction)


def sphere(
    shape: Sequence[int], centre: Sequence[float], spacing: Sequence[float], radius_mm: float
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """The box around a sphere, and which of its voxels lie in the sphere.

    Args:
        shape: Of the volume.
        centre: In voxels.
        spacing: Voxel size in mm along each axis.
        radius_mm: From the centre to the middle of a voxel.
    """
    squares = [
        ((np.arange(size) - middle) * step) ** 2
        for size, middle, step in zip(shape, centre, spacing, strict=True)
    ]
    box = tuple(_span(square <= radius_mm**2) for square in squares)
    d, h, w = (square[part] for square, part in zip(squares, box, strict=True))
    return box, d[:, None, None] + h[:, None] + w <= radius_mm**2


def _window(values: NDArray[Any], percentiles: tuple[float, float]) -> Window:
    if not np.isfinite(values).all():
        raise InputError("the image holds NaN or infinite values; replace them first")
    # Of values in order several percentiles are found much faster.
    low, high = np.percentile(np.sort(values), percentiles) if values.size else (0.0, 0.0)
    if not high > low:
        raise InputError(
            f"the brain region has the one value {float(low):g}: no contrast; "
            "expected a brain image"
        )
    return Window(float(low), float(high))


def _background_level(array: NDArray[Any]) -> float:
    """The value that fills the faces of the array, or a low one where none does."""
    faces = [array[0], array[-1], array[:, 0], array[:, -1], array[:, :, 0], array[:, :, -1]]
    border = np.concatenate([face.ravel() for face in faces])
    if np.count_nonzero(border == border[0]) > border.size / 2:  # no other is as frequent
        return float(border[0])
    values, counts = np.unique(border, return_counts=True)
    if counts.max() >= border.size / 10:
        return float(values[counts.argmax()])
    return float(np.percentile(border, 1))


def _bright_mean(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    """Mean of the brighter class of Otsu's threshold on a histogram."""
    centres = (edges[:-1] + edges[1:]) / 2
    sums = np.cumsum((counts * centres)[::-1])[::-1]
    sizes = np.cumsum(counts[::-1])[::-1]
    # Class means of a cut before each bin but the first, which holds the smallest difference.
    above, below = sizes[1:], sizes[0] - sizes[1:]
    cuts = (above > 0) & (below > 0)
    if not cuts.any():
        return float(sums[0] / sizes[0])
    bright = sums[1:][cuts] / above[cuts]
    dark = (sums[0] - sums[1:][cuts]) / below[cuts]
    between = above[cuts] * below[cuts] * (bright - dark) ** 2.0
    return float(bright[between.argmax()])


def _centre_of_mass(mask: NDArray[np.bool_]) -> list[float]:
    profiles = _profiles(mask)
    return [float(counts @ np.arange(counts.size) / counts.sum()) for counts in profiles]


def _profiles(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Number of voxels of the mask in each slice across each axis."""
    # One pass over the volume for the plane, of which the other two are quick to count. Sums of
    # up to 255 slices fit into bytes, of which the processor adds many at once.
    plane = np.zeros(mask.shape[1:], np.uint32)
    for first in range(0, len(mask), 255):
        plane += np.add.reduce(mask[first : first + 255].view(np.uint8), axis=0, dtype=np.uint8)
    return [_slices(mask), plane.sum(axis=1, dtype=np.int64), plane.sum(axis=0, dtype=np.int64)]


def _slices(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of voxels of the mask in each slice across the first axis."""
    return np.array([np.count_nonzero(part) for part in mask])


def _occupied(counts: NDArray[np.int64], part: float) -> tuple[int, int]:
    slices = np.flatnonzero(counts >= max(part * counts.max(), 1))
    return int(slices[0]), int(slices[-1]) + 1


def _span(inside: NDArray[np.bool_]) -> slice:
    indices = np.flatnonzero(inside)
    return slice(int(indices[0]), int(indices[-1]) + 1)
