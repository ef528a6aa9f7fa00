"""Fat and bone in CT, by thresholds in HU (HA-GAN, Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.runtime.exploration.emphysema import LUNG_HU
from hagan_clinic.runtime.exploration.hounsfield import HounsfieldMeasure
from hagan_clinic.runtime.exploration.marking import Figure, Labels, Marked

FAT_HU = (-190, -30)
"""Fat lies between, both included: the range of body composition studies, where muscle begins at
-29 HU and ends at 150."""

BONE_HU = 200
"""Bone lies above, and so do contrast medium, calcified vessels and metal."""

FAT, BONE = 1, 2
"""Labels."""


class TissueVolumes(HounsfieldMeasure):
    """Volumes of fat and bone in the body, in ml.

    The body is the largest region of -500 HU or more, of voxels that share faces: a table that
    stands off it is not measured. Where air and soft tissue share a voxel it looks like fat, so
    that the skin and the vessels of the lung have some.
    """

    thresholds = (LUNG_HU, BONE_HU)
    subject = "fat and bone are measured in CT"

    def mark(self, values: NDArray[np.floating]) -> Marked:
        """Fat and bone."""
        return mark_tissues(values, self.spacing)


def mark_tissues(values: NDArray[np.floating], spacing: Sequence[float]) -> Marked:
    """Fat and bone of a CT, see `TissueVolumes`.

    Args:
        values: (D, H, W) in HU.
        spacing: mm along D, H, W.
    """
    body = find_body(values)
    lowest, highest = FAT_HU
    labels: Labels = np.zeros(values.shape, np.int64)
    labels[body & (values >= lowest) & (values <= highest)] = FAT
    labels[body & (values > BONE_HU)] = BONE
    voxel = math.prod(spacing) / 1000
    fat, bone = (voxel * np.count_nonzero(labels == label) for label in (FAT, BONE))
    return Marked(labels, (Figure("fat", "ml", fat, FAT), Figure("bone", "ml", bone, BONE)))


def find_body(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where the body is, as `TissueVolumes` describes; nowhere if all is air.

    Args:
        values: (D, H, W) in HU.
    """
    import SimpleITK as sitk

    solid = sitk.GetImageFromArray((values >= LUNG_HU).astype(np.uint8))
    regions = sitk.GetArrayFromImage(sitk.ConnectedComponent(solid))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    body: NDArray[np.bool_] = (regions == sizes.argmax()) & (regions > 0)
    return body
