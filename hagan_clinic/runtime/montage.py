"""Montages: the middle planes of volumes side by side, as grey pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GAP = 2


def planes(volume: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The middle axial, coronal and sagittal plane of a volume, side by side.

    Args:
        volume: (D, H, W) in [0, 1], canonical axes.

    Returns:
        (rows, columns): anterior up in the axial plane, superior up in the others; planes are
        padded to one height.
    """
    d, h, w = (side // 2 for side in volume.shape)
    pictures = [volume[d, ::-1], volume[::-1, h], volume[::-1, :, w]]
    height = max(len(picture) for picture in pictures)
    grey = []
    for picture in pictures:
        missing = height - len(picture)
        padded = np.pad(picture, ((missing // 2, missing - missing // 2), (0, 0)))
        grey.append((255 * np.clip(padded, 0, 1)).astype(np.uint8))
    return np.concatenate(grey, axis=1)


def montage(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures below each other, with a gap, black where one is narrower."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]))) for row in rows]
    return np.concatenate(padded)[:-GAP]
