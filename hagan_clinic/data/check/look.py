"""What a subject's images look like from afar: on a coarse grid, which many subjects fit into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hagan_clinic.intensity import foreground
from hagan_clinic.volume import Shape, Spacing

COARSE_MM = 4.0
"""Blocks of whole voxels come as near to this as they can."""

_RIM_MM = 12.0
"""Of a head or brain without a mask: scalp and skull, or the border of the cortex."""

Array = NDArray[np.float32]
Region = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Look:
    """A subject from afar.

    Attributes:
        name: As in the cohort.
        patient: As in the cohort.
        subset: The side of the split it is on, where one is known.
        images: Sequence -> (D, H, W) in canonical axes, all of one shape; none that is empty.
        spacing: mm along D, H, W.
        brain: Where there is a mask.
        digests: Sequence -> sha256 of its voxels.
    """

    name: str
    patient: str
    subset: str | None
    images: Mapping[str, Array]
    spacing: Spacing
    brain: Region | None
    digests: Mapping[str, str]

    @cached_property
    def heads(self) -> dict[str, Region]:
        """The foreground of each sequence, with its dark parts inside."""
        return {
            name: np.asarray(ndimage.binary_fill_holes(foreground(array)), bool)
            for name, array in self.images.items()
        }

    @cached_property
    def inside(self) -> Region:
        """The brain; without a mask, what is inside the rim of all foregrounds."""
        if self.brain is not None:
            return self.brain
        head = np.logical_or.reduce(list(self.heads.values()))
        deep = ndimage.distance_transform_edt(np.pad(head, 1), sampling=self.spacing)
        return np.asarray(deep[1:-1, 1:-1, 1:-1] > _RIM_MM, bool)


def coarse(array: NDArray[Any], spacing: Spacing) -> tuple[Array, Spacing]:
    """Means of blocks of about `COARSE_MM`, and their spacing; a rest at the far ends is left out.

    Args:
        array: (D, H, W).
        spacing: mm along D, H, W.
    """
    factors = [
        min(max(round(COARSE_MM / step), 1), size)
        for step, size in zip(spacing, array.shape, strict=True)
    ]
    counts = [size // factor for size, factor in zip(array.shape, factors, strict=True)]
    inner = array[tuple(slice(n * k) for n, k in zip(counts, factors, strict=True))]
    (d, h, w), (i, j, k) = counts, factors
    means = inner.reshape(d, i, h, j, w, k).mean(axis=(1, 3, 5), dtype=np.float32)
    x, y, z = spacing
    return means, (x * i, y * j, z * k)


def about_middle(
    array: Array, look: Look, centre: Sequence[float], shape: Shape, step_mm: float
) -> Array:
    """Values on a grid about a place, so that heads lie roughly on each other.

    Args:
        array: (D, H, W) on the look's grid.
        look: Whose spacing counts.
        centre: In voxels.
        shape: Of the new grid.
        step_mm: Its spacing.
    """
    places = [
        (np.arange(size) - (size - 1) / 2) * step_mm / step + middle
        for size, step, middle in zip(shape, look.spacing, centre, strict=True)
    ]
    found: Array = ndimage.map_coordinates(array, np.meshgrid(*places, indexing="ij"), order=1)
    return found


def ranks(array: Array, inside: Region) -> Array:
    """The share of a region that is darker, less a half; 0 outside."""
    values = array[inside]
    ordered = np.sort(values)
    places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    result = np.zeros(array.shape, np.float32)
    result[inside] = places / (2 * values.size) - 0.5
    return result
