"""Whether what an image shows fits what its header says: anatomy against axes, head or phantom.

A head is its own mirror image left to right, and is so across no other plane. That is found on a
coarse grid along the axes of the body as the header has them, whatever order the voxels are in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.intensity import occupied_span, occupied_spans
from hagan_clinic.volume import Volume

MIRROR_MARGIN = 0.15
"""By so much more alike across another plane than left to right, and the axes are doubted."""

MIRROR = 0.5
"""A head that is straight by its true axes is as alike across that plane or more; one that is
turned by some 15 degrees about two of them may be across none, and is left alone."""

PHANTOM = 0.68
"""A second plane with this likeness or more is none of a head."""

FLAT = 0.07
"""Interquartile range of the grey values, relative to their median, below which there are no
tissues. `benchmarks/input_checks.py` measures these on real heads."""

BRAIN_LITRES = 2.0
"""A brain without its skull is no larger, and is longer from back to front than it is high."""

Float32 = NDArray[np.float32]

_ACROSS = ("top to bottom", "front to back", "left to right")
_FINE_MM = 4.0
_DARKEST = 0.2  # of a head, so that its values differ from the 0 around it
_CLIPPED = (2, 98)  # per cent
_LEAST_OVERLAP = 0.5
_SEARCHED = 0.15  # of the head's extent, to either side of its middle
_TALLER = 1.05
_TAPERED = 0.35
_CUT = 0.3  # of the largest slice's area, on a face of the field of view: a neck has more
_FREE = 0.05  # less than this is not cut


def anatomy_warnings(name: str, coarse: Volume, head: NDArray[np.bool_]) -> list[str]:
    """What does not fit a head with the axes of its header, each with what to do.

    Args:
        name: What the model calls the sequence.
        coarse: The scan in blocks of about 3 mm, in canonical axes.
        head: Its foreground, which is not empty.
    """
    quarter, median, three_quarters = np.percentile(np.sort(coarse.array[head]), (25, 50, 75))
    spread = float((three_quarters - quarter) / max(abs(median), 1e-6))
    if spread < FLAT:
        return [
            f"{name} has nearly one grey value throughout (half of its voxels within {spread:.1%} "
            f"of the median, expected {FLAT:.0%} or more of tissues): check that it is a head scan"
        ]
    whole, inner = _upright(coarse, head)
    alike = [mirror_likeness(inner, axis) for axis in range(3)]
    worse, best = sorted(range(3), key=lambda axis: alike[axis])[1:]
    if alike[worse] >= PHANTOM:
        return [
            f"{name} is its own mirror image {_ACROSS[best]} and {_ACROSS[worse]} "
            f"({alike[best]:.2f} and {alike[worse]:.2f}), like a phantom and unlike a head "
            f"(of which one is below {PHANTOM:g}): check that it is a head scan"
        ]
    alike = [mirror_likeness(whole, axis) for axis in range(3)]
    best = max(range(3), key=lambda axis: alike[axis])
    if alike[best] >= MIRROR and alike[best] - alike[2] > MIRROR_MARGIN:
        return [
            f"{name} is its own mirror image {_ACROSS[best]} ({alike[best]:.2f}) rather than left "
            f"to right ({alike[2]:.2f}): the axes in its header do not fit the head, and "
            "the result would be wrong; look at it in a viewer that shows the letters A, P, L and "
            "R, and correct its orientation"
        ]
    litres = float(head.sum()) * abs(np.linalg.det(coarse.affine[:3, :3])) * 1e-6
    return _lying(name, head, whole > 0) if litres <= BRAIN_LITRES else _neck(name, head)


def mirror_likeness(upright: Float32, axis: int) -> float:
    """Correlation of a head with its mirror image across the best plane, times their overlap.

    Args:
        upright: 0 around the head.
        axis: Across which it is mirrored.
    """
    array = np.moveaxis(upright, axis, 0)
    low, high = occupied_span(upright > 0, axis)
    reach = round(_SEARCHED * (high - low))
    size, best = np.count_nonzero(array), 0.0
    for twice_plane in range(low + high - 1 - 2 * reach, low + high + 2 * reach):
        first, last = max(0, twice_plane - len(array) + 1), min(len(array), twice_plane + 1)
        part = array[first:last]
        mirrored = part[::-1]
        both = (part > 0) & (mirrored > 0)
        overlap = np.count_nonzero(both) / size
        if overlap >= _LEAST_OVERLAP:
            one, other = part[both], mirrored[both]
            # Both hold the same values, so mean and variance are one.
            mean, variance = float(one.mean()), float(one.var())
            covariance = float(np.mean((one - mean) * (other - mean)))
            best = max(best, overlap * covariance / max(variance, 1e-6))
    return best


def _lying(name: str, head: NDArray[np.bool_], occupied: NDArray[np.bool_]) -> list[str]:
    """Whether a brain without skull lies on its front or back by its header."""
    spans = occupied_spans(occupied)
    height, length = (float(high - low) * 2 * _FINE_MM for low, high in spans[:2])
    areas = np.count_nonzero(occupied, axis=(1, 2))
    # A neck, of a child's whole head, does not taper.
    tapered = areas[: spans[0][0] + 2][-1] <= _TAPERED * areas.max()
    slices = np.count_nonzero(head, axis=(0, 2))
    cut = max(slices[0], slices[-1]) > _CUT * slices.max()
    if height <= _TALLER * length or cut or not tapered:
        return []
    return [
        f"{name} shows a brain of {height:.0f} mm from bottom to top and {length:.0f} mm from back "
        "to front, expected it to be longer from back to front: the axes in its header do not fit "
        "it, and the result would be wrong; look at it in a viewer that shows the letters "
        "A, P, S and I, and correct its orientation"
    ]


def _neck(name: str, head: NDArray[np.bool_]) -> list[str]:
    """Whether a whole head leaves its field of view elsewhere than at the bottom."""
    shares = []
    for axis in range(2):
        areas = np.count_nonzero(head, axis=tuple({0, 1, 2} - {axis}))
        shares += [float(areas[0] / areas.max()), float(areas[-1] / areas.max())]
    bottom, *others = shares
    if bottom >= _FREE or max(others) < _CUT:
        return []
    edge = ("top", "back", "front")[others.index(max(others))]
    return [
        f"{name} is cut off at the {edge} of its field of view, as a neck is, and not at the "
        "bottom: the axes in its header do not fit the head, and the result would be "
        "wrong, or a part of the head is missing; look at it in a viewer that shows the letters A, "
        "P, S and I"
    ]


def _upright(coarse: Volume, head: NDArray[np.bool_]) -> tuple[Float32, Float32]:
    """The head along the body's axes (S, A, R), at twice `_FINE_MM`; 0 around it.

    Returns:
        The whole, whose border is as bright as it fills its blocks, so that its shape counts; and
        what is inside the border.
    """
    spans = occupied_spans(head)
    box = tuple(slice(*span) for span in spans)
    values = coarse.array[box]
    low, high = np.percentile(values[head[box]][::8], _CLIPPED)
    values = np.clip((values - low) / max(high - low, 1e-6), 0, 1) + _DARKEST
    values[~head[box]] = 0
    affine = coarse.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [first for first, _ in spans]

    ends = np.array(np.meshgrid(*((-0.5, n - 0.5) for n in values.shape))).reshape(3, -1)
    corners = affine[:3, :3] @ ends + affine[:3, 3:]
    begin, end = corners.min(axis=1), corners.max(axis=1)
    sizes = np.ceil((end - begin) / (2 * _FINE_MM)).astype(int)
    right, anterior, superior = (
        first + _FINE_MM * (np.arange(2 * n) + 0.5) for first, n in zip(begin, sizes, strict=True)
    )
    inverse = np.linalg.inv(affine)
    # A rim of zeros takes what lies outside.
    values = np.pad(values, 1).astype(np.float32)
    places = []
    for row, size in zip(inverse[:3], values.shape, strict=True):
        index = (
            (row[2] * superior)[:, None, None]
            + (row[1] * anterior)[:, None]
            + (row[0] * right + (row[3] + 1.5))
        )
        places.append(np.clip(index.astype(np.intp), 0, size - 1))
    fine = values[tuple(places)]
    d, h, w = sizes[::-1]
    blocks = fine.reshape(d, 2, h, 2, w, 2)
    whole = blocks.mean(axis=(1, 3, 5))
    return whole, np.where((blocks > 0).all(axis=(1, 3, 5)), whole, 0)
