"""Where the network's box lies in a scan, and what of the head it leaves out.

Boxes are a first voxel, which may lie outside the scan, and a size, along (D, H, W).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.intensity import occupied_span, occupied_spans
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import Shape, Spacing

Mask = NDArray[np.bool_]
Start = list[int]

BRAIN_MIDDLE_MM = 90.0
"""The brain's middle lies about this far under the top of an adult's head."""

# A slice through the tip of a nose holds this part of the fullest slice's voxels.
_TIP_PART = 0.002

# A growing box ends at this many times the training's sides: no head is larger, a chest is.
_LARGEST = 1.5


def fixed_box(
    occupied: Mask, brain: Mask | None, spacing: Spacing, recipe: Recipe
) -> tuple[Start, Shape]:
    """A box of the training's size, centred on the brain; it may reach beyond the scan.

    With a `recipe.window` all that is not background is centred. Else a brain mask, or a
    skull-stripped brain, is centred whole. Of a head with a neck, the brain's middle is taken to
    lie `BRAIN_MIDDLE_MM` under the top, and in the slices what is above it, and so above the nose,
    is centred if the whole does not fit.

    Args:
        occupied: What is not background.
        brain: Brain mask, if there is one.
        spacing: In mm.
        recipe: With a box.
    """
    if recipe.window:
        return _around(occupied_spans(occupied), recipe.box)
    if brain is not None:
        return _around(occupied_spans(brain, part=0), recipe.box)
    spans = occupied_spans(occupied)
    low, high = spans[0]
    spans[0] = (max(low, high - 2 * round(BRAIN_MIDDLE_MM / spacing[0])), high)
    too_wide = [axis for axis in (1, 2) if np.ptp(spans[axis]) > recipe.box[axis]]
    if too_wide:
        top = occupied_spans(occupied[top_of(occupied, spacing)])
        for axis in too_wide:
            spans[axis] = top[axis]
    return _around(spans, recipe.box)


def grown_box(
    tissue: Mask, brain: Mask | None, lowest: int, spacing: Spacing, recipe: Recipe
) -> tuple[Start, Shape]:
    """A box that holds the head down to a slice with `recipe.margin_mm` of air around it.

    Sides are multiples of `recipe.multiple`; what this adds lies above the head along D, so that
    no more of a neck is seen, and on both sides along H and W. No side is longer than one and a
    half times the training's. The box follows from the head alone: where a scan ends changes
    nothing, unless it cuts the head.

    Args:
        tissue: What the network sees as more than air.
        brain: Brain mask, if there is one, which is held wherever it lies.
        lowest: The slice from which tissue upwards is held; below it is neck.
        spacing: In mm.
        recipe: With a box.
    """
    above = max(lowest, 0)
    if brain is None:
        (low, high), *others = occupied_spans(tissue[above:], _TIP_PART)
        spans = [(above + low, above + high), *others]
    else:
        head = brain.copy()
        head[above:] |= tissue[above:]
        spans = occupied_spans(head, _TIP_PART)
    start, size = [], []
    for axis, (low, high) in enumerate(spans):
        margin = int(np.ceil(recipe.margin_mm / spacing[axis]))
        # Where the neck goes on there is no air.
        bottom = min(lowest, low) if axis == 0 else low - margin
        low, high = max(low - margin, bottom), high + margin
        length = -(-(high - low) // recipe.multiple) * recipe.multiple
        longest = int(_LARGEST * recipe.box[axis]) // recipe.multiple * recipe.multiple
        length = min(length, longest)
        start.append(max(low, high - length) if axis == 0 else (low + high - length) // 2)
        size.append(length)
    d, h, w = size
    return start, (d, h, w)


def head_box(occupied: Mask, spacing: Spacing, recipe: Recipe) -> tuple[Start, Shape]:
    """A box around all that is not background with a margin, for models without a box."""
    start, size = [], []
    for axis, (low, high) in enumerate(occupied_spans(occupied)):
        wanted = high - low + 2 * int(np.ceil(recipe.margin_mm / spacing[axis]))
        # Beyond the field of view there is nothing to see.
        wanted = min(wanted, occupied.shape[axis])
        length = -(-wanted // recipe.multiple) * recipe.multiple
        start.append(_centred_start(low, high, length, occupied.shape[axis]))
        size.append(length)
    d, h, w = size
    return start, (d, h, w)


def top_of(occupied: Mask, spacing: Spacing) -> slice:
    """The slices of a head from its top down to the brain's middle."""
    low, high = occupied_span(occupied, 0)
    return slice(max(low, high - round(BRAIN_MIDDLE_MM / spacing[0])), high)


def share_outside(mask: Mask, start: Sequence[int], size: Shape) -> float:
    """The part of a mask's voxels that lie outside a box."""
    inside = mask[_slices(start, size)]
    return 1 - int(np.count_nonzero(inside)) / int(np.count_nonzero(mask))


def missed_by(tissue: Mask, start: Sequence[int], size: Shape) -> Mask | None:
    """Where a scan shows tissue outside a box; None if it does so nowhere.

    Where a slice does, its dark bone, airways and vessels count too: all that has tissue in front,
    behind, left and right of it.
    """
    box = _slices(start, size)
    outside = tissue.copy()
    outside[box] = False
    cut = np.flatnonzero(outside.any(axis=(1, 2)))
    if cut.size == 0:
        return None
    outside[cut] = _hull(tissue[cut])
    outside[box] = False
    return outside


def _hull(tissue: Mask) -> Mask:
    """What lies between voxels of tissue along both H and W."""
    hull = np.ones_like(tissue)
    for axis in (1, 2):
        hull &= np.logical_or.accumulate(tissue, axis=axis)
        hull &= np.flip(np.logical_or.accumulate(np.flip(tissue, axis), axis=axis), axis)
    return hull


def _around(spans: Sequence[tuple[int, int]], box: Sequence[int]) -> tuple[Start, Shape]:
    """First voxel and size of a box with the middle of the spans as its own."""
    start = [(low + high - side) // 2 for (low, high), side in zip(spans, box, strict=True)]
    d, h, w = box
    return start, (d, h, w)


def _centred_start(low: int, high: int, length: int, available: int) -> int:
    """Start of a span centred on [low, high), moved to lie within the field of view if it fits."""
    start = (low + high - length) // 2
    if length <= available:
        return min(max(start, 0), available - length)
    return min(max(start, available - length), 0)


def _slices(start: Sequence[int], size: Shape) -> tuple[slice, ...]:
    """The part of a box that lies in the scan."""
    return tuple(
        slice(max(first, 0), max(first + side, 0)) for first, side in zip(start, size, strict=True)
    )
