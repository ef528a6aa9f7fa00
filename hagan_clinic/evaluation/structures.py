"""Volumes of a stripped brain's structures in T1, by brightness and depth: no network, no atlas.

The brain is what is not background, its holes filled. Each voxel is divided by the mean of the
brain around it (a Gaussian of 25 mm), which takes coil sensitivity away. Fluid is below 0.72 of
that mean and brighter tissue, mostly white matter, above 1.04; darker tissue, mostly grey matter,
lies between. Deep fluid is fluid more than 25 mm below the surface: ventricles, cisterns, and dark
lesions that lie as deep. The limits are ours, for comparing sets of volumes that all went through
the same steps, and no measurements of a patient.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

STRUCTURES = ("brain", "fluid", "deep fluid", "darker tissue", "brighter tissue")

BACKGROUND = 0.02
CLOSED_MM = 9.0
AROUND_MM = 25.0
FLUID_BELOW, BRIGHTER_ABOVE = 0.72, 1.04
DEEP_MM = 25.0

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


def structure_volumes(volume: Float32, spacing: Sequence[float]) -> dict[str, float]:
    """Volume of each of `STRUCTURES`, in ml.

    Args:
        volume: A stripped brain (D, H, W) in [0, 1].
        spacing: Voxel size along D, H, W in mm.
    """
    voxel_ml = math.prod(spacing) / 1000
    return {
        name: float(np.count_nonzero(mask)) * voxel_ml
        for name, mask in structure_masks(volume, spacing).items()
    }


def structure_masks(volume: Float32, spacing: Sequence[float]) -> dict[str, Mask]:
    """Where each of `STRUCTURES` is; deep fluid is a part of the fluid, and all are of the brain.

    Args:
        volume: A stripped brain (D, H, W) in [0, 1].
        spacing: Voxel size along D, H, W in mm.
    """
    brain = _brain(volume, spacing)
    relative = _evened(volume, brain, spacing)
    depth = ndimage.distance_transform_edt(brain, sampling=spacing)
    fluid, brighter = brain & (relative < FLUID_BELOW), brain & (relative > BRIGHTER_ABOVE)
    masks = (brain, fluid, fluid & (depth > DEEP_MM), brain & ~fluid & ~brighter, brighter)
    return dict(zip(STRUCTURES, masks, strict=True))


def _brain(volume: Float32, spacing: Sequence[float]) -> Mask:
    """The largest thing that is not background, closed over the sulci."""
    steps = max(1, round(CLOSED_MM / max(spacing)))
    # A margin, so that closing does not begin at the border.
    closed = ndimage.binary_closing(np.pad(volume > BACKGROUND, steps), iterations=steps)
    inner = (slice(steps, -steps),) * 3
    filled: Mask = ndimage.binary_fill_holes(closed[inner])
    parts, count = ndimage.label(filled)
    if count > 1:
        filled = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return filled


def _evened(volume: Float32, brain: Mask, spacing: Sequence[float]) -> Float32:
    """Brightness relative to the mean of the brain around each voxel; 0 outside."""
    sigma = [AROUND_MM / step for step in spacing]
    inside = brain.astype(np.float32)
    total = ndimage.gaussian_filter(volume * inside, sigma)
    around = total / np.maximum(ndimage.gaussian_filter(inside, sigma), 1e-6)
    relative: Float32 = np.where(brain, volume / np.maximum(around, 1e-6), 0).astype(np.float32)
    return relative
