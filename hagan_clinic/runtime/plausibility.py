"""Signs that a source is not what the model was trained on: warned of, not refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.box import BRAIN_MIDDLE_MM
from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.choice import MIN_SLICES
from hagan_clinic.intensity import head_centre, signal_of, source_window, sphere, to_unit
from hagan_clinic.preparation import Prepared
from hagan_clinic.runtime.anatomy_checks import anatomy_warnings
from hagan_clinic.runtime.enhancement import BRIGHT_SHARE, BRIGHTER, bright_share
from hagan_clinic.volume import Grid, Spacing, Volume, to_canonical

MIN_FIELD_MM = 10.0
THICK_MM = 3.0
SMALL_FIELD_MM = 100.0
HEAD_LITRES = (0.3, 8.0)
"""From an infant's stripped brain to a large head with neck."""

WHITE_MATTER_OFFSET = 0.2
"""Below this a T1 is doubted. `benchmarks/input_checks.py` measures how often by mistake."""

UNSEEN_HEAD = 0.05
"""A larger part of a head's upper half outside the network's box is more than skull and scalp."""

UNSEEN_MASK = 0.001

_RADIUS_MM = 60.0
_STEP_MM = 3.0
_SMOOTHEST = 10  # per cent


def check_field(name: str, grid: Grid) -> None:
    """Refuse a fragment of a head, in which no brain could be recognised.

    Raises:
        InputError: An axis has fewer than `MIN_SLICES` voxels, or less than `MIN_FIELD_MM`.
    """
    extents = [size * step for size, step in zip(grid.shape, grid.spacing, strict=True)]
    if min(grid.shape) >= MIN_SLICES and min(extents) >= MIN_FIELD_MM:
        return
    raise InputError(
        f"{name} has a field of view of {' x '.join(f'{extent:.3g}' for extent in extents)} mm "
        f"({' x '.join(map(str, grid.shape))} voxels), expected at least {MIN_FIELD_MM:g} mm and "
        f"{MIN_SLICES} voxels each way: it is a fragment; give the whole scan"
    )


def grid_warnings(name: str, grid: Grid) -> list[str]:
    """Thick slices and a small field of view, each with what to do."""
    warnings = []
    if max(grid.spacing) > THICK_MM:
        warnings.append(
            f"{name} has slices {max(grid.spacing):.1f} mm apart, expected at most "
            f"{THICK_MM:.0f} mm: detail between slices is interpolated; use a 3D or thin-slice "
            "scan if there is one"
        )
    extents = [size * step for size, step in zip(grid.shape, grid.spacing, strict=True)]
    if min(extents) < SMALL_FIELD_MM:
        size = " x ".join(f"{extent:.0f}" for extent in extents)
        warnings.append(
            f"{name} has a field of view of {size} mm, expected at least {SMALL_FIELD_MM:.0f} mm "
            "each way: the model was trained on whole brains; use a scan that covers the brain"
        )
    return warnings


def slice_warnings(name: str, volume: Volume) -> list[str]:
    """Empty slices between others, as a copy that broke off in the middle leaves them."""
    shown = np.asarray(volume.array[::4, ::4].any(axis=(0, 1)))
    for number in np.flatnonzero(~shown):  # where a few voxels do not tell
        shown[number] = volume.array[:, :, number].any()
    ends = np.flatnonzero(shown)[[0, -1]] if shown.any() else (0, 0)
    empty = np.flatnonzero(~shown[ends[0] : ends[1]]) + ends[0]
    if not empty.size:
        return []
    return [
        f"{name} has {empty.size} empty slices between others (the first is slice {empty[0] + 1} "
        f"of {len(shown)}): it is damaged, or a part of it is lost; copy it again"
    ]


def image_warnings(name: str, volume: Volume, *, allow_contrast: bool = False) -> list[str]:
    """Whether a source looks like a native brain T1, by its shape, axes and grey values.

    Args:
        name: What the model calls the sequence; only a T1 is checked by its grey values.
        volume: The whole scan, in scanner units.
        allow_contrast: Do not look for signs of contrast agent.

    Raises:
        InputError: As `intensity.signal_of` and `source_window`.
    """
    canonical = to_canonical(volume)
    coarse, step = _averaged(canonical.array, canonical.spacing)
    signal = signal_of(coarse)
    head = signal.head
    litres = float(head.sum() * np.prod(step)) * 1e-6
    low, high = HEAD_LITRES
    if not low <= litres <= high:
        return [
            f"{name} shows {litres:.1f} litres of tissue, expected {low:g} to {high:g} of a brain "
            "or a head: check that it is a head scan"
        ]
    affine = canonical.affine.copy()
    blocks = np.array(step) / canonical.spacing
    affine[:3, 3] += affine[:3, :3] @ ((blocks - 1) / 2)
    affine[:3, :3] *= blocks
    warnings = anatomy_warnings(name, Volume(coarse, affine), head)
    if name.lower() not in ("t1", "t1w", "t1n"):
        return warnings
    # Without bright vessels and fat, which would widen the range that the offset is measured in.
    window = source_window(coarse, step, signal=signal)
    offset = white_matter_offset(to_unit(coarse, window), head, step)
    if offset >= WHITE_MATTER_OFFSET:
        if warnings or allow_contrast:  # the middle of the brain may be elsewhere
            return warnings
        return _enhancement_warnings(name, _deep_bright_share(canonical, head, step))
    return [
        *warnings,
        f"{name} does not look like a T1 (its white matter is not brighter than the rest of the "
        f"brain: {offset:.2f}, expected {WHITE_MATTER_OFFSET:g} or more): check that it is a T1 "
        "of an adult brain without contrast agent, and look at the result with the preview",
    ]


def deep_bright_share(volume: Volume) -> float:
    """The part of the middle of the brain that is brighter than white matter (`bright_share`)."""
    canonical = to_canonical(volume)
    coarse, step = _averaged(canonical.array, canonical.spacing)
    return _deep_bright_share(canonical, signal_of(coarse).head, step)


def _deep_bright_share(canonical: Volume, head: NDArray[np.bool_], step: Spacing) -> float:
    spacing = canonical.spacing
    middle = zip(head_centre(head, step), step, spacing, strict=True)
    # From the middle of a block of voxels to a voxel.
    centre = [(place + 0.5) * block / voxel - 0.5 for place, block, voxel in middle]
    return bright_share(canonical.array, spacing, centre)


def _enhancement_warnings(name: str, share: float) -> list[str]:
    if share <= BRIGHT_SHARE:
        return []
    return [
        f"{name} looks contrast-enhanced ({share:.2%} of the middle of the brain, where deep veins "
        f"are, is over {BRIGHTER:g} times as bright as white matter; expected up to "
        f"{BRIGHT_SHARE:.2%}): blood and fat look so too; give the native scan, or "
        "--allow-contrast if this is one"
    ]


def box_warnings(prepared: Prepared, *, masked: bool) -> list[str]:
    """Whether the network's box cuts the brain.

    Args:
        prepared: What the network will see.
        masked: Whether a brain mask was given, so that `prepared.unseen` is a part of the brain.
    """
    if prepared.unseen <= (UNSEEN_MASK if masked else UNSEEN_HEAD):
        return []
    seen = (n * step for n, step in zip(prepared.grid.shape, prepared.grid.spacing, strict=True))
    part = "brain mask" if masked else f"head's top {BRAIN_MIDDLE_MM:.0f} mm"
    return [
        f"{prepared.unseen:.1%} of the {part} lies outside the "
        f"{' x '.join(f'{side:.0f}' for side in seen)} mm that the model sees: there nothing is "
        "synthesised, the volume is 0 and its uncertainty 1; check the voxel size and "
        + ("the mask" if masked else "that it is a scan of one head, or give a brain mask")
    ]


def white_matter_offset(
    array: NDArray[np.float32], head: NDArray[np.bool_], spacing: Spacing
) -> float:
    """How much brighter white matter is than the middle of the brain, in interquartile ranges.

    White matter is taken to be where the image is smoothest: the tenth of the voxels with the
    smallest gradient, within 60 mm of the centre of mass of the head's upper 150 mm.

    Args:
        array: (D, H, W), any units, spacing near 3 mm.
        head: Where the head is.
        spacing: In mm.
    """
    box, near = sphere(array.shape, head_centre(head, spacing), spacing, _RADIUS_MM)
    near &= head[box]
    # A gradient needs the neighbours.
    wider = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box)
    inner = tuple(
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(box, wider, strict=True)
    )
    slopes = [np.gradient(array[wider], step, axis=axis) for axis, step in enumerate(spacing)]
    gradient = np.linalg.norm(slopes, axis=0)[inner][near]
    values = array[box][near]
    smooth = values[gradient <= np.percentile(gradient, _SMOOTHEST)]
    low, middle, high = np.percentile(np.sort(values), (25, 50, 75))
    return float((np.median(smooth) - middle) / max(high - low, 1e-6))


def _averaged(array: NDArray[Any], spacing: Spacing) -> tuple[NDArray[np.float32], Spacing]:
    """Means of blocks of about 3 mm, and their spacing."""
    factors = [max(round(_STEP_MM / step), 1) for step in spacing]
    sizes = [size // factor for size, factor in zip(array.shape, factors, strict=True)]
    cropped = array[tuple(slice(s * f) for s, f in zip(sizes, factors, strict=True))]
    means = cropped
    for axis, factor in enumerate(factors):
        along = np.moveaxis(means, axis, 0)
        # Whole slices are added, which is far quicker than the mean of small blocks.
        total = np.array(along[::factor], np.float32)
        for first in range(1, factor):
            total += along[first::factor]
        means = np.moveaxis(total, 0, axis)
    means = np.ascontiguousarray(means, np.float32) / np.float32(math.prod(factors))
    i, j, k = factors
    return means, (spacing[0] * i, spacing[1] * j, spacing[2] * k)
