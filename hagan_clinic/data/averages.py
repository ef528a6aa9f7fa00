"""Area averages of prepared volumes: what the low-resolution wholes of moved volumes come from.

A low-resolution voxel is the mean of 4 x 4 x 4 voxels. Of a volume that is turned or shifted these
blocks lie anywhere, so the means are kept at every second voxel: entry j along an axis is the mean
of the voxels 2j - 2 to 2j + 1, air beyond the borders, whose centre is at voxel 2j - 1/2. What
stands in its place is then every second entry, and what is moved is interpolated between them.

They are a file beside that of the prepared subject, of an eighth of its size: made once, in bytes,
so rounding moves a value by at most 1/255. What is not empty never becomes so.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hagan_clinic.data.moving import Box
from hagan_clinic.data.prepared import Bytes, PreparedSubject
from hagan_clinic.data.stored import opened
from hagan_clinic.imageio import atomic_path

STEP = 2
"""Voxels from one entry to the next."""

CENTRE = 0.5
"""Entry j lies at voxel STEP * j - CENTRE."""


def area_averages(volume: Bytes, full: int = 255) -> Bytes:
    """(C, D, H, W) of even sides -> (C, D / 2 + 1, H / 2 + 1, W / 2 + 1); ``full`` becomes 255."""
    sums: NDArray[Any] = volume
    for axis in (1, 2, 3):
        first, second = (_every_second(sums, axis, start) for start in (0, 1))
        sums = np.add(first, second, dtype=np.int16)
    for axis in (1, 2, 3):
        edge = [(int(dim == axis),) * 2 for dim in range(4)]
        padded = np.pad(sums, edge)
        sums = padded.take(range(padded.shape[axis] - 1), axis)
        sums += padded.take(range(1, padded.shape[axis]), axis)
    means = (sums.astype(np.int32) * (255 // full) + 32) // 64
    return np.maximum(means, sums > 0).astype(np.uint8)


def averages_of(prepared: PreparedSubject) -> Bytes:
    """Area averages of a prepared subject, by memory map; the file is created if missing.

    Returns:
        (F * (C + T) + 1, D / 2 + 1, H / 2 + 1, W / 2 + 1): source channels and target in each of
        F forms, then the brain. The target of a skull-stripped form is empty outside the brain.

    Raises:
        OutputError: The file cannot be written.
    """
    file = prepared.file.with_suffix(".averages.npy")
    stored = _open(file, prepared)
    if stored is None:
        volume = opened(prepared.file)
        brain, channels = volume[-1:], prepared.channels
        parts = []
        for form in range(prepared.forms):
            parts.append(area_averages(volume[form * channels : (form + 1) * channels]))
            if prepared.has_target:
                target = volume[-2:-1]
                parts.append(area_averages(target * brain if form else target))
        parts.append(area_averages(brain, full=1))
        with atomic_path(file) as temporary:
            np.save(temporary, np.concatenate(parts))
        stored = opened(file, "c")
    return stored


def filled_box(means: Tensor, box: Box) -> Box:
    """A box around all of a box that is not empty, by the area averages (C, d, h, w)."""
    first = [start // STEP for start in box.start]
    last = [stop // STEP + 1 for stop in box.stop]  # whose block begins before the box ends
    d, h, w = (slice(a, b) for a, b in zip(first, last, strict=True))
    filled = np.asarray(means[:, d, h, w].numpy().any(axis=0))
    start, stop = list(first), list(first)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        along = np.flatnonzero(filled.any(axis=others))
        if len(along):
            start[axis] += int(along[0])
            stop[axis] += int(along[-1]) + 1
    # Entry j holds the voxels STEP * (j - 1) to STEP * (j + 1).
    low = tuple(STEP * (entry - 1) for entry in start)
    high = tuple(STEP * entry for entry in stop)
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2])).meeting(box)


def _every_second(array: NDArray[Any], axis: int, start: int) -> NDArray[Any]:
    return array[tuple(slice(start, None, 2) if dim == axis else slice(None) for dim in range(4))]


def _open(file: Path, prepared: PreparedSubject) -> Bytes | None:
    """The stored averages, or None when there are none or they are damaged."""
    channels = prepared.forms * (prepared.channels + prepared.has_target) + 1
    shape = (channels, *(side // STEP + 1 for side in prepared.shape))
    try:
        stored = opened(file, "c")
    except (OSError, ValueError, EOFError):
        return None
    return stored if stored.dtype == np.uint8 and stored.shape == shape else None
