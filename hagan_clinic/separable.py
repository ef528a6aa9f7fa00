"""Interpolation between lattices with parallel axes: a matrix along each of them.

Most of the time of preparing and restoring a scan would go into resampling. Where the axes agree,
smoothing and trilinear interpolation are three products with narrow band matrices, which BLAS does
several times faster than a general resampler, and on all cores.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANTIALIAS_RATIO = 1.2
"""Below this ratio of new to old spacing trilinear interpolation itself smooths enough."""

# Rows of a band matrix that are multiplied together: as many as a tile of BLAS holds, few enough
# that most of what lies beside the band is left out.
_ROWS = 32

_REACH = 64  # voxels on each side that a Gaussian sees at most

Matrix = NDArray[np.float32]


def interpolated(
    array: NDArray[Any], matrices: Sequence[Matrix], fill: float
) -> NDArray[np.float32]:
    """Multiply each axis of an array with its matrix.

    Args:
        array: Three axes.
        matrices: (new, old) for each axis, from `interpolation`.
        fill: The value outside the field of view, where rows are empty.

    Returns:
        Contiguous values on the new lattice.
    """
    result = np.ascontiguousarray(array, np.float32)
    # What shrinks most goes first, so that the others have less to do.
    order = sorted(range(3), key=lambda axis: matrices[axis].shape[0] / matrices[axis].shape[1])
    for axis in order:
        result = _multiplied(result, matrices[axis], axis)
    for axis, matrix in enumerate(matrices):
        outside = ~matrix.any(axis=1)
        if outside.any():
            np.moveaxis(result, axis, 0)[outside] = fill
    return result


def interpolation(old: int, new: int, ratio: float, offset: float) -> Matrix:
    """Weights (new, old) of old voxels in new ones along an axis.

    A new voxel i lies at offset + ratio * i in old voxels. Where new voxels are larger by more than
    `ANTIALIAS_RATIO`, a Gaussian is applied first that widens the old voxel's point spread to the
    new one's (Cardoso et al. 2015: variance (k² - 1) / (8 ln 2) in old voxels for a ratio k).
    Beyond the outer voxels their value goes on for half a voxel; a new voxel further out has an
    empty row.
    """
    places = offset + ratio * np.arange(new)
    inside = (places >= -0.5) & (places < old - 0.5)
    clamped = np.clip(places, 0, old - 1)
    below = np.floor(clamped).astype(int)
    share = clamped - below
    weights = _gaussian((ratio**2 - 1) / (8 * np.log(2))) if abs(ratio) > ANTIALIAS_RATIO else [1.0]
    reach = len(weights) // 2
    matrix = np.zeros((new, old))
    rows = np.arange(new)
    for step, weight in enumerate(weights, start=-reach):
        for neighbour, part in ((below, 1 - share), (below + 1, share)):
            # The Gaussian sees the outer voxels go on; so does interpolation at the last one.
            columns = np.clip(np.minimum(neighbour, old - 1) + step, 0, old - 1)
            matrix[rows, columns] += weight * part * inside
    return matrix.astype(np.float32)


def _multiplied(array: NDArray[np.float32], matrix: Matrix, axis: int) -> NDArray[np.float32]:
    new, old = matrix.shape
    if new == old and np.array_equal(matrix, np.eye(new, dtype=np.float32)):
        return array
    shape = tuple(new if other == axis else size for other, size in enumerate(array.shape))
    result = np.empty(shape, np.float32)
    # What lies before and behind the axis is multiplied as one, in as large products as there are.
    before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    source, target = array.reshape(before, old, behind), result.reshape(before, new, behind)
    for first in range(0, new, _ROWS):
        rows = slice(first, min(first + _ROWS, new))
        band = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(int(band[0]), int(band[-1]) + 1) if band.size else slice(0)
        part = matrix[rows, columns]
        if behind == 1:
            np.matmul(source[:, columns, 0], part.T, out=target[:, rows, 0])
        else:
            np.matmul(part, source[:, columns], out=target[:, rows])
    return result


def _gaussian(variance: float) -> list[float]:
    """The discrete Gaussian (Lindeberg 1990) as weights around the middle, whole to 1e-3."""
    # exp(-t) I_n(t), as the mean of exp(t cos) cos(n .) over the circle.
    angles = np.linspace(0, 2 * np.pi, 2048, endpoint=False)
    spread = np.exp(variance * (np.cos(angles) - 1))
    half = [float(np.mean(spread))]
    while half[0] + 2 * sum(half[1:]) < 1 - 1e-3 and len(half) <= _REACH:
        half.append(float(np.mean(spread * np.cos(len(half) * angles))))
    total = half[0] + 2 * sum(half[1:])
    return [weight / total for weight in half[:0:-1] + half]
