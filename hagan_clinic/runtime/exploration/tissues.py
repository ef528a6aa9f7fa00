"""Fat and bone in CT, by thresholds in HU (HA-GAN, Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration.emphysema import LUNG_HU
from hagan_clinic.runtime.exploration.marking import Figure, Float32, Labels, Marked

FAT_HU = (-190, -30)
"""Fat lies between, both included: the range of body composition studies, where muscle begins at
-29 HU and ends at 150."""

BONE_HU = 200
"""Bone lies above, and so do contrast medium, calcified vessels and metal."""

FAT, BONE = 1, 2
"""Labels."""


@dataclass(frozen=True)
class TissueVolumes:
    """Volumes of fat and bone in the body, in ml.

    The body is the largest region of -500 HU or more, of voxels that share faces: a table that
    stands off it is not measured. Where air and soft tissue share a voxel it looks like fat, so
    that the skin and the vessels of the lung have some.

    Attributes:
        window: The values in HU of 0 and 1.
        spacing: Voxel size in mm along D, H, W.

    Raises:
        InputError: The window is empty, or does not hold air and bone: no model of CT.
    """

    window: Sequence[float]
    spacing: Sequence[float]

    def __post_init__(self) -> None:
        low, high = self.window or (0, 0)
        if not low < LUNG_HU < BONE_HU < high:
            found = f"0 and 1 are {low:g} and {high:g}" if self.window else "it has no window"
            raise InputError(
                f"fat and bone are measured in CT, in HU from below {LUNG_HU} to above {BONE_HU}, "
                f"and this model does not make that ({found}): give a model that was trained with "
                "--window=-1024,600"
            )

    def __call__(self, volume: Float32) -> Marked:
        """Fat and bone of a volume (D, H, W) in [0, 1]."""
        low, high = self.window
        return mark_tissues(low + (high - low) * volume, self.spacing)


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
