"""From scanner volumes to network input and back: the one path of training and deployment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.intensity import Window, foreground, occupied_span, source_window, to_unit
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import (
    Grid,
    Shape,
    Spacing,
    Volume,
    canonical_grid,
    crop_or_pad,
    resample,
    resampled_grid,
    to_axes_of,
    to_canonical,
)

BACKGROUND = -1.0

BRAIN_MIDDLE_MM = 90.0
"""The brain's middle lies about this far under the top of an adult's head."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Network input and where it came from.

    Attributes:
        array: (C, D, H, W) float32 in [-1, 1], background -1.
        grid: The grid of (D, H, W).
        source_grid: The grid of the scanner volumes.
        unseen: The share of the brain mask that lies outside `grid`; without a mask, of the
            foreground within `BRAIN_MIDDLE_MM` of the head's top, with a window of all of it.
    """

    array: NDArray[np.float32]
    grid: Grid
    source_grid: Grid
    unseen: float


def prepare(
    volumes: Sequence[Volume],
    recipe: Recipe,
    *,
    mask: Volume | None = None,
    mask_window: bool = True,
) -> Prepared:
    """Orient, resample, scale and crop source volumes as the recipe says.

    The result has the size of `recipe.box`, which is centred on the brain, or, where the recipe
    has none, holds the head with `recipe.margin_mm` around it and has sides in multiples of
    `recipe.multiple`.

    With a `recipe.window`, as of CT, the body is centred instead of the brain, and values are
    scaled by that window instead of percentiles.

    Args:
        volumes: One volume for each of `recipe.sources`, on one grid.
        recipe: The model's recipe.
        mask: Brain mask on the same grid, if there is one: the box is centred on it.
        mask_window: Take the intensity window in the mask. Training does not, as a model has to
            do without a mask too.

    Raises:
        InputError: If the number of volumes is wrong, their grids differ, one has no contrast, or
            the mask is empty.
    """
    if len(volumes) != len(recipe.sources):
        raise InputError(
            f"found {len(volumes)} source volumes, the model expects {len(recipe.sources)}: "
            f"{', '.join(recipe.sources)}"
        )
    source_grid = volumes[0].grid
    names = [*recipe.sources, "brain mask"]
    for name, volume in zip(names, [*volumes, *([mask] if mask else [])], strict=False):
        _check_same_grid(volume, source_grid, name, recipe.sources[0])

    grid = network_grid(source_grid, recipe.spacing)
    brain = None if mask is None else _brain_on_grid(mask, grid)
    arrays = [_on_grid(volume, grid) for volume in volumes]
    occupied = np.logical_or.reduce([foreground(array) for array in arrays])
    if recipe.box and recipe.window:
        start, size = _centred_box(occupied, recipe.box)
    elif recipe.box:
        start, size = _brain_box(occupied, brain, grid.spacing, recipe.box)
    else:
        start, size = _head_box(occupied, grid.spacing, recipe)
    result = np.empty((len(arrays), *size), dtype=np.float32)
    for channel, array in zip(result, arrays, strict=True):
        window = _window(array, grid.spacing, brain if mask_window else None, recipe)
        unit = Volume(to_unit(array, window), grid.affine)
        cropped = crop_or_pad(unit, start, size, fill=BACKGROUND)
        channel[...] = cropped.array
    whole = occupied if recipe.window else _top(occupied, grid.spacing)
    sought = whole if brain is None else brain
    return Prepared(result, cropped.grid, source_grid, _share_outside(sought, start, size))


def stripped(volume: Volume, region: NDArray[np.bool_], recipe: Recipe) -> Volume:
    """The volume with background outside a region, such as a brain or a body.

    Background is 0, as in skull-stripped MR, or the lower end of a fixed window, as air in CT.
    """
    background = recipe.window[0] if recipe.window else 0.0
    return volume.with_array(np.where(region, volume.array, np.float32(background)))


def restore(array: NDArray[np.float32], prepared: Prepared, fill: float) -> Volume:
    """Bring a network output back to the scanner volume's grid.

    Args:
        array: (D, H, W) on `prepared.grid`, in any units.
        prepared: What `prepare` returned.
        fill: Value of the voxels that the network did not see.

    Returns:
        A volume whose grid equals `prepared.source_grid` bit for bit.
    """
    canonical = canonical_grid(prepared.source_grid)
    full = network_grid(prepared.source_grid, prepared.grid.spacing)
    start = _voxel_of(full, prepared.grid.affine[:3, 3])
    back = [-first for first in start]
    padded = crop_or_pad(Volume(array, prepared.grid.affine), back, full.shape, fill=fill)
    return to_axes_of(resample(padded, canonical, fill=fill), prepared.source_grid)


def network_grid(source_grid: Grid, spacing: Spacing) -> Grid:
    """The canonical grid of the whole field of view at the model's spacing.

    A source whose spacing is the model's to 1e-3 mm keeps its own voxels.
    """
    grid = canonical_grid(source_grid)
    if np.allclose(grid.spacing, spacing, rtol=0, atol=1e-3):
        return grid
    return resampled_grid(grid, spacing)


def _on_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    resampled = resample(to_canonical(volume), grid).array
    return np.asarray(resampled, dtype=np.float32)


def _brain_on_grid(mask: Volume, grid: Grid) -> NDArray[np.bool_]:
    brain = _on_grid(mask.with_array(mask.array > 0.5), grid) > 0.5
    if not brain.any():
        raise InputError("the brain mask is empty; expected a mask that marks the brain")
    return brain


def _window(
    array: NDArray[np.float32],
    spacing: Spacing,
    brain: NDArray[np.bool_] | None,
    recipe: Recipe,
) -> Window:
    if recipe.window:
        if float(array.min()) == float(array.max()):
            raise InputError(f"all voxels have the value {float(array.min()):g}: nothing is shown")
        return Window(*recipe.window)
    return source_window(
        array,
        spacing,
        brain,
        percentiles=recipe.percentiles,
        radius_mm=recipe.radius_mm,
        head_mm=recipe.head_mm,
    )


def _centred_box(occupied: NDArray[np.bool_], box: Sequence[int]) -> tuple[list[int], Shape]:
    """First voxel and size of a box centred on all that is not background."""
    return _around([occupied_span(occupied, axis) for axis in range(3)], box)


def _brain_box(
    occupied: NDArray[np.bool_],
    brain: NDArray[np.bool_] | None,
    spacing: Spacing,
    box: Sequence[int],
) -> tuple[list[int], Shape]:
    """First voxel and size of a box centred on the brain, which may reach beyond the scan.

    A brain mask, or a skull-stripped brain, is centred whole. Of a head with a neck, the brain's
    middle is taken to lie `BRAIN_MIDDLE_MM` under the top, and in the slices what is above it, and
    so above the nose, is centred if the whole does not fit.
    """
    if brain is None:
        low, high = occupied_span(occupied, 0)
        spans = [(max(low, high - 2 * round(BRAIN_MIDDLE_MM / spacing[0])), high)]
        for axis in (1, 2):
            span = occupied_span(occupied, axis)
            fits = span[1] - span[0] <= box[axis]
            spans.append(span if fits else occupied_span(_top(occupied, spacing), axis))
    else:
        spans = [occupied_span(brain, axis, part=0) for axis in range(3)]
    return _around(spans, box)


def _around(spans: Sequence[tuple[int, int]], box: Sequence[int]) -> tuple[list[int], Shape]:
    """First voxel and size of a box with the middle of the spans as its own."""
    start = [(low + high - side) // 2 for (low, high), side in zip(spans, box, strict=True)]
    d, h, w = box
    return start, (d, h, w)


def _top(occupied: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.bool_]:
    """The head down to the brain's middle; below it nothing is set."""
    low, high = occupied_span(occupied, 0)
    top = np.zeros_like(occupied)
    inside = slice(max(low, high - round(BRAIN_MIDDLE_MM / spacing[0])), high)
    top[inside] = occupied[inside]
    return top


def _head_box(
    occupied: NDArray[np.bool_], spacing: Spacing, recipe: Recipe
) -> tuple[list[int], Shape]:
    """First voxel and size of the network's field around the head."""
    start, size = [], []
    for axis in range(3):
        low, high = occupied_span(occupied, axis)
        wanted = high - low + 2 * int(np.ceil(recipe.margin_mm / spacing[axis]))
        # Beyond the field of view there is nothing to see.
        wanted = min(wanted, occupied.shape[axis])
        length = -(-wanted // recipe.multiple) * recipe.multiple
        start.append(_centred_start(low, high, length, occupied.shape[axis]))
        size.append(length)
    d, h, w = size
    return start, (d, h, w)


def _share_outside(mask: NDArray[np.bool_], start: Sequence[int], size: Shape) -> float:
    """The part of a mask's voxels that lie outside a box."""
    box = tuple(
        slice(max(first, 0), max(first + side, 0)) for first, side in zip(start, size, strict=True)
    )
    return 1 - int(np.count_nonzero(mask[box])) / int(np.count_nonzero(mask))


def _centred_start(low: int, high: int, length: int, available: int) -> int:
    """Start of a span centred on [low, high), moved to lie within the field of view if it fits."""
    start = (low + high - length) // 2
    if length <= available:
        return min(max(start, 0), available - length)
    return min(max(start, available - length), 0)


def _voxel_of(grid: Grid, position: NDArray[np.float64]) -> list[int]:
    index = np.linalg.solve(grid.affine[:3, :3], position - grid.affine[:3, 3])
    return [int(i) for i in np.rint(index)]


def _check_same_grid(volume: Volume, grid: Grid, name: str, reference: str) -> None:
    if not volume.grid.same_as(grid):
        raise InputError(
            f"{name} ({volume.grid}) and {reference} ({grid}) lie on different "
            "grids; resample one to the other first"
        )
