"""Lung and emphysema in chest CT, by thresholds in HU (HA-GAN, Fig. 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.runtime.exploration.hounsfield import HounsfieldMeasure
from hagan_clinic.runtime.exploration.marking import Figure, Labels, Marked

LUNG_HU = -500
"""Lung and air lie below."""

EMPHYSEMA_HU = -950
"""Lung that is destroyed lies below."""

LUNG, EMPHYSEMA = 1, 2
"""Labels: of lung above `EMPHYSEMA_HU`, and of lung below it."""

_OTHER_LUNG = 0.25
"""A second region is the other lung, not gas in the stomach, if it has this part of the first."""


class EmphysemaShare(HounsfieldMeasure):
    """Volume of the lung in ml, and the percentage of it below -950 HU.

    The lung is the largest region below -500 HU, of voxels that share faces, that does not reach
    a side of the volume: the air around the body does. Where the airways do not join the two lungs,
    the second is the next region in size. Top and bottom do not count as sides, as the trachea
    leaves the volume through its top.
    """

    thresholds = (EMPHYSEMA_HU, LUNG_HU)
    subject = "emphysema is measured in chest CT"

    def mark(self, values: NDArray[np.floating]) -> Marked:
        """Lung and emphysema; NaN % where there is no lung."""
        return mark_emphysema(values, self.spacing)


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
