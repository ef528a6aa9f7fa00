"""Volumes moved by an affine transform, in boxes: any part of the moved volume, and no more.

A box of the moved volume comes from a box of the volume, so neither is ever there as a whole, and
a voxel of the result does not depend on the box it was asked for in. Interpolation is linear, along
D, then H, then W: two neighbours thrice take a third of the time, on a CPU, that eight at once do.
For the angles of ``augment.MOST_DEGREES`` the difference is that between two linear interpolations.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hagan_clinic.data.draws import Matrix
from hagan_clinic.volume import Shape

SLICES_AT_ONCE = 8
"""On a CPU: so few stay in its cache."""

REACH = 3
"""Voxels beyond the corners of a moved box that interpolation may touch."""


@dataclass(frozen=True)
class Box:
    """Voxels ``start`` to ``stop`` along D, H, W."""

    start: Shape
    stop: Shape

    @classmethod
    def whole(cls, shape: Shape) -> "Box":
        """All of a volume."""
        return cls((0, 0, 0), shape)

    @property
    def shape(self) -> Shape:
        """(D, H, W)."""
        d, h, w = (last - first for first, last in zip(self.start, self.stop, strict=True))
        return d, h, w

    def grown(self, margin: Shape, shape: Shape) -> "Box":
        """With a margin on both sides of each axis, ending where the volume does."""
        start, stop = np.array([self.start, self.stop]) + np.outer([-1, 1], margin)
        return _box(start, stop).meeting(Box.whole(shape))

    def meeting(self, other: "Box") -> "Box":
        """What is in both; of no size where nothing is."""
        start = np.maximum(self.start, other.start)
        return _box(start, np.maximum(np.minimum(self.stop, other.stop), start))

    def of(self, volume: Tensor, origin: Shape = (0, 0, 0)) -> Tensor:
        """These voxels of (..., D, H, W), whose first one is ``origin``."""
        d, h, w = (
            slice(first - offset, last - offset)
            for first, last, offset in zip(self.start, self.stop, origin, strict=True)
        )
        return volume[..., d, h, w]


def _box(start: NDArray[Any], stop: NDArray[Any]) -> Box:
    (d, h, w), (d1, h1, w1) = map(int, start), map(int, stop)
    return Box((d, h, w), (d1, h1, w1))


def source_box(box: Box, matrix: Matrix, shape: Shape) -> Box:
    """What a box of the moved volume comes from; of no size where that lies outside.

    Args:
        box: Of the moved volume.
        matrix: (3, 4), from a voxel of the moved volume to its place in the volume.
        shape: (D, H, W) of the volume.
    """
    reach = 0 if is_flip(matrix) else REACH
    return _image(box, matrix, reach).meeting(Box.whole(shape))


def _reached(held: Box, matrix: Matrix) -> Box:
    """Where in the moved volume anything comes from a box of the volume."""
    if not all(held.shape):
        return held
    back = np.linalg.inv(matrix[:, :3])
    reach = 0 if is_flip(matrix) else math.ceil(REACH * max(np.abs(back).sum(1)))
    return _image(held, np.column_stack([back, -back @ matrix[:, 3]]), reach)


def _image(box: Box, matrix: Matrix, reach: int) -> Box:
    """The box around what a matrix makes of a box, and so many voxels more."""
    corners = np.array(np.meshgrid(*zip(box.start, np.array(box.stop) - 1, strict=True)))
    places = matrix[:, :3] @ corners.reshape(3, -1) + matrix[:, 3:]
    # A flip's places are whole numbers, but for what rounding leaves.
    first, last = np.floor(places.min(1) + 1e-6), np.ceil(places.max(1) - 1e-6)
    return _box(first.astype(int) - reach, last.astype(int) + reach + 1)


def is_flip(matrix: Matrix) -> bool:
    """Whether a matrix leaves every voxel in place, or in that of its mirror image along W."""
    return bool((np.abs(matrix[:, :3]) == np.eye(3)).all()) and not (matrix[:2, 3]).any()


class Wanted(NamedTuple):
    """What is wanted of a moved volume.

    Attributes:
        part: uint8 (C, d, h, w), what is held of the volume.
        box: Of the moved volume.
        nearest: Take the nearest voxel instead of interpolating.
    """

    part: Tensor
    box: Box
    nearest: bool = False


def moved(every: Sequence[Wanted], held: Box, matrix: Matrix) -> list[Tensor]:
    """Boxes of moved volumes.

    Args:
        every: What is wanted; boxes that share slices share the work on them.
        held: Where the parts are in the volume. All else is 0, so it may be less than the
            ``source_box`` of a box where the volume is empty.
        matrix: (3, 4), from a voxel of the moved volume to its place in the volume.

    Returns:
        float32 (C, *box.shape) of each, in the range of the bytes.
    """
    device = every[0].part.device
    results = [torch.zeros(len(part), *box.shape, device=device) for part, box, _ in every]
    boxes = [_reached(held, matrix).meeting(box) for _, box, _ in every]
    if is_flip(matrix):
        for (part, origin, _), box, result in zip(every, boxes, results, strict=True):
            taken = source_box(box, matrix, held.stop).of(part, held.start)
            box.of(result, origin.start).copy_(taken.flip(-1) if matrix[2, 2] < 0 else taken)
        return results
    padded = [with_air(part) for part, _, _ in every]
    block = SLICES_AT_ONCE if device.type == "cpu" else max(box.stop[0] for box in boxes)
    for around in _blocks(boxes, block):
        shifted = matrix.copy()
        shifted[:, 3] += matrix[:, :3] @ around.start - held.start
        along = ways(shifted, held.shape, around.shape, device)
        for part, wanted, box, result in zip(padded, every, boxes, results, strict=True):
            here = box.meeting(
                Box((around.start[0], *box.start[1:]), (around.stop[0], *box.stop[1:]))
            )
            if not here.shape[0]:
                continue
            first, last = here.start[0] - around.start[0], here.stop[0] - around.start[0]
            slices = [way.slices(first, last) for way in along]
            for channel, filled in zip(part, here.of(result, wanted.box.start), strict=True):
                values = travelled(channel, slices, nearest=wanted.nearest)
                filled.copy_(here.of(values, (here.start[0], *around.start[1:])))
    return results


def _blocks(boxes: Sequence[Box], slices: int) -> Iterator[Box]:
    """Boxes of so many slices that hold the others together."""
    some = [box for box in boxes if all(box.shape)]
    if some:
        start = np.min([box.start for box in some], axis=0)
        stop = np.max([box.stop for box in some], axis=0)
        for first in range(start[0], stop[0], slices):
            last = min(first + slices, stop[0])
            yield _box(np.array([first, *start[1:]]), np.array([last, *stop[1:]]))


@dataclass(frozen=True, eq=False)
class Way:
    """Where values come from along one axis: from between a voxel and the next.

    Attributes:
        index: int32 (D, H, W), of the voxel among all of the volume before this way.
        weight: float32 (D, H, W), of the next one.
        stride: How much further that is.
        slice_size: Voxels of a slice of the volume before this way, if that has as many slices
            as the one after it; otherwise 0.
    """

    index: Tensor
    weight: Tensor
    stride: int
    slice_size: int

    def slices(self, first: int, last: int) -> "Way":
        """Of the slices ``first`` to ``last`` alone."""
        if (first, last) == (0, len(self.index)):
            return self
        index, weight = self.index[first:last], self.weight[first:last]
        if first and self.slice_size:
            index = index - first * self.slice_size
        return Way(index, weight, self.stride, self.slice_size)


def ways(matrix: Matrix, given: Shape, wanted: Shape, device: torch.device) -> list[Way]:
    """An affine transform as three ways: along D, then H, then W.

    Args:
        matrix: (3, 4), from an index of the result to an index of the volume.
        given: (D, H, W) of the volume.
        wanted: (D, H, W) of the result.
        device: Where the ways are to be.
    """
    # As ``with_air`` leaves it.
    before = [side + 3 for side in given]
    found = []
    for axis in range(3):
        # The axes that are still to come stand at the volume's places, not at the result's.
        later, earlier = matrix[axis + 1 :], matrix[:, [*range(axis + 1), 3]]
        slopes = matrix[axis, axis + 1 : 3] @ np.linalg.inv(later[:, axis + 1 : 3])
        *rest, offset = earlier[axis] - slopes @ earlier[axis + 1 :]
        after = [*wanted[: axis + 1], *before[axis + 1 :]]
        d, h, w = (torch.arange(side, device=device, dtype=torch.int32) for side in after)
        a, b, c = (float(slope) for slope in (*rest, *slopes))
        place = (a * d + float(offset + 1 - slopes.sum()))[:, None, None] + (b * h[:, None] + c * w)
        place.clamp_(0, before[axis] - 2)
        # Along the axis itself the place says which voxel it is, along the others the result.
        strides = [before[1] * before[2], before[2], 1]
        here = [d[:, None, None] * strides[0], h[:, None] * strides[1], w]
        del here[axis]
        index = place.int().mul_(strides[axis]).add_(here[0] + here[1])
        found.append(Way(index, place.frac_(), strides[axis], strides[0] if axis else 0))
        before = after
    return found


def with_air(volume: Tensor) -> Tensor:
    """Layers of zeros around (C, D, H, W), one before and two behind, so that no way leads out."""
    return functional.pad(volume, (1, 2) * 3)


def travelled(channel: Tensor, along: Sequence[Way], *, nearest: bool = False) -> Tensor:
    """Values of a channel ``with_air`` at the ends of the three ways, float32 (D, H, W)."""
    image = channel
    for way in along:
        flat, index, shape = image.reshape(-1), way.index.reshape(-1), way.index.shape
        if nearest:
            image = flat.index_select(0, index + (way.weight > 0.5).int().mul_(way.stride).view(-1))
            image = image.view(shape)
            continue
        image = torch.lerp(
            flat.index_select(0, index).float().view(shape),
            flat[way.stride :].index_select(0, index).float().view(shape),
            way.weight,
        )
    return image.float()
