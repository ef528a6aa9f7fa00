"""Lung and emphysema in chest CT, by thresholds in HU (HA-GAN, Fig. 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration.marking import Figure, Float32, Labels, Marked

LUNG_HU = -500
"""Lung and air lie below."""

EMPHYSEMA_HU = -950
"""Lung that is destroyed lies below."""

LUNG, EMPHYSEMA = 1, 2
"""Labels: of lung above `EMPHYSEMA_HU`, and of lung below it."""

_OTHER_LUNG = 0.25
"""A second region is the other lung, not gas in the stomach, if it has this part of the first."""


@dataclass(frozen=True)
class EmphysemaShare:
    """Volume of the lung in ml, and the percentage of it below -950 HU.

    The lung is the largest region below -500 HU, of voxels that share faces, that does not reach
    a side of the volume: the air around the body does. Where the airways do not join the two lungs,
    the second is the next region in size. Top and bottom do not count as sides, as the trachea
    leaves the volume through its top.

    Attributes:
        window: The values in HU of 0 and 1.
        spacing: Voxel size in mm along D, H, W.

    Raises:
        InputError: The window is empty, or does not hold both thresholds: no model of chest CT.
    """

    window: Sequence[float]
    spacing: Sequence[float]

    def __post_init__(self) -> None:
        low, high = self.window or (0, 0)
        if not low < EMPHYSEMA_HU < LUNG_HU < high:
            found = f"0 and 1 are {low:g} and {high:g}" if self.window else "it has no window"
            raise InputError(
                f"emphysema is measured in chest CT, in HU from below {EMPHYSEMA_HU} to above "
                f"{LUNG_HU}, and this model does not make that ({found}): give a model that was "
                "trained with --window=-1024,600"
            )

    def __call__(self, volume: Float32) -> Marked:
        """Lung and emphysema of a volume (D, H, W) in [0, 1]; NaN % where there is no lung."""
        low, high = self.window
        return mark_emphysema(low + (high - low) * volume, self.spacing)


def mark_emphysema(values: NDArray[np.floating], spacing: Sequence[float]) -> Marked:
    """Lung and emphysema of a chest CT, see `EmphysemaShare`; NaN % where there is no lung.

    Args:
        values: (D, H, W) in HU, D from feet to head.
        spacing: mm along D, H, W.
    """
    lung = find_lung(values)
    labels: Labels = lung.astype(np.int64)
    labels[lung & (values < EMPHYSEMA_HU)] = EMPHYSEMA
    whole, destroyed = np.count_nonzero(lung), np.count_nonzero(labels == EMPHYSEMA)
    ml = whole * math.prod(spacing) / 1000
    percent = 100 * destroyed / whole if whole else math.nan
    return Marked(
        labels, (Figure("lung", "ml", ml, LUNG), Figure("emphysema", "%", percent, EMPHYSEMA))
    )


def find_lung(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where the lung is, as `EmphysemaShare` describes.

    Args:
        values: (D, H, W) in HU, D from feet to head.
    """
    import SimpleITK as sitk

    low = sitk.GetImageFromArray((values < LUNG_HU).astype(np.uint8))
    regions = sitk.GetArrayFromImage(sitk.ConnectedComponent(low))
    sizes = np.bincount(regions.ravel())
    sides = (regions[:, 0], regions[:, -1], regions[:, :, 0], regions[:, :, -1])
    for outside in (0, *sides):
        sizes[outside] = 0
    first, *others = np.argsort(-sizes, kind="stable")[:2]
    kept = [first, *(other for other in others if sizes[other] >= _OTHER_LUNG * sizes[first])]
    return np.isin(regions, [region for region in kept if sizes[region]])
