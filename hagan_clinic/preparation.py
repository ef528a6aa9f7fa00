"""From scanner volumes to network input and back: the one path of training and deployment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.box import fixed_box, grown_box, head_box, missed_by, share_outside, top_of
from hagan_clinic.errors import InputError
from hagan_clinic.intensity import Signal, Window, signal_of, source_window, to_unit
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

# What interpolation takes less of leaves no trace.
_ANY_PART = 1e-3

TISSUE = 0.15
"""What the network sees as more than air: voxels this part of the window above its low end."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Network input and where it came from.

    Attributes:
        array: (C, D, H, W) float32 in [-1, 1], background -1.
        grid: The grid of (D, H, W).
        source_grid: The grid of the scanner volumes.
        unseen: The share of the brain mask that lies outside `grid`; without a mask, of the
            foreground within `BRAIN_MIDDLE_MM` of the head's top, with a window of all of it.
        missed: Where the scan shows tissue outside `grid`, on the field that `network_grid` gives;
            None if it does so nowhere.
    """

    array: NDArray[np.float32]
    grid: Grid
    source_grid: Grid
    unseen: float
    missed: NDArray[np.bool_] | None


def prepare(
    volumes: Sequence[Volume],
    recipe: Recipe,
    *,
    mask: Volume | None = None,
    mask_window: bool = True,
) -> Prepared:
    """Orient, resample, scale and crop source volumes as the recipe says.

    The result has the size of `recipe.box`, which is centred on the brain. A box that grows holds
    the head instead, from where the box would begin upwards, and without a box the result holds
    all that is not background; both have `recipe.margin_mm` around it and sides in multiples of
    `recipe.multiple`.

    With a `recipe.window`, as of CT, the body is centred instead of the brain, or held whole, and
    values are scaled by that window instead of percentiles.

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
    used = brain if mask_window else None
    windows, occupied = _windows(arrays, used, grid.spacing, recipe)
    tissue = _any([array > w.at(TISSUE) for array, w in zip(arrays, windows, strict=True)])
    start, size, unseen = _box(occupied, tissue, brain, grid.spacing, recipe)
    result = np.empty((len(arrays), *size), dtype=np.float32)
    for channel, array, window in zip(result, arrays, windows, strict=True):
        cropped = crop_or_pad(Volume(array, grid.affine), start, size, fill=window.low)
        to_unit(cropped.array, window, out=channel)
    missed = missed_by(tissue, start, size)
    return Prepared(result, cropped.grid, source_grid, unseen, missed)


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
    full = network_grid(prepared.source_grid, prepared.grid.spacing)
    start = _voxel_of(full, prepared.grid.affine[:3, 3])
    back = [-first for first in start]
    padded = crop_or_pad(Volume(array, prepared.grid.affine), back, full.shape, fill=fill)
    return _on_source(padded, prepared, fill)


def missed_on_source(prepared: Prepared) -> NDArray[np.bool_] | None:
    """The scanner volume's voxels whose value would come from `prepared.missed`, at least in part.

    None where nothing is missed.
    """
    if prepared.missed is None:
        return None
    full = network_grid(prepared.source_grid, prepared.grid.spacing)
    missed = Volume(prepared.missed.astype(np.float32), full.affine)
    return _on_source(missed, prepared, fill=0.0).array > _ANY_PART


def _on_source(volume: Volume, prepared: Prepared, fill: float) -> Volume:
    canonical = canonical_grid(prepared.source_grid)
    return to_axes_of(resample(volume, canonical, fill=fill), prepared.source_grid)


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
    # A copy, where the scan has its axes another way round, makes every pass below a quick one.
    return np.ascontiguousarray(resampled, dtype=np.float32)


def _brain_on_grid(mask: Volume, grid: Grid) -> NDArray[np.bool_]:
    brain = _on_grid(mask.with_array(mask.array > 0.5), grid) > 0.5
    if not brain.any():
        raise InputError("the brain mask is empty; expected a mask that marks the brain")
    return brain


def _windows(
    arrays: Sequence[NDArray[np.float32]],
    brain: NDArray[np.bool_] | None,
    spacing: Spacing,
    recipe: Recipe,
) -> tuple[list[Window], NDArray[np.bool_]]:
    """The window of each scan, and what is not background in any, or the brain if that suffices.

    The background is looked for once, and not at all where a mask tells both window and box.
    """
    if brain is not None and recipe.box and not recipe.window:
        return [_window(array, spacing, recipe, brain) for array in arrays], brain
    signals = [signal_of(array) for array in arrays]
    windows = [
        _window(array, spacing, recipe, brain, signal)
        for array, signal in zip(arrays, signals, strict=True)
    ]
    return windows, _any([signal.head for signal in signals])


def _window(
    array: NDArray[np.float32],
    spacing: Spacing,
    recipe: Recipe,
    brain: NDArray[np.bool_] | None,
    signal: Signal | None = None,
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
        signal=signal,
    )


def _box(
    occupied: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
    brain: NDArray[np.bool_] | None,
    spacing: Spacing,
    recipe: Recipe,
) -> tuple[list[int], Shape, float]:
    """First voxel and size of the network's field, and the share of the brain outside it."""
    if not recipe.box:
        start, size = head_box(occupied, spacing, recipe)
    else:
        start, size = fixed_box(occupied, brain, spacing, recipe)
    if recipe.box_grows:
        lowest = 0 if recipe.window else start[0]
        start, size = grown_box(tissue, brain, lowest, spacing, recipe)
    if brain is not None or recipe.window:
        return start, size, share_outside(occupied if brain is None else brain, start, size)
    top = top_of(occupied, spacing)
    unseen = share_outside(occupied[top], [start[0] - top.start, *start[1:]], size)
    return start, size, unseen


def _any(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return masks[0] if len(masks) == 1 else np.logical_or.reduce(masks)


def _voxel_of(grid: Grid, position: NDArray[np.float64]) -> list[int]:
    index = np.linalg.solve(grid.affine[:3, :3], position - grid.affine[:3, 3])
    return [int(i) for i in np.rint(index)]


def _check_same_grid(volume: Volume, grid: Grid, name: str, reference: str) -> None:
    if not volume.grid.same_as(grid):
        raise InputError(
            f"{name} ({volume.grid}) and {reference} ({grid}) lie on different "
            "grids; resample one to the other first"
        )
