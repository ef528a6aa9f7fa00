"""The Fréchet distance of two sets of features (Heusel et al. 2017, eq. 6)."""

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

Array = NDArray[np.float64]


def frechet_distance(one: Array, other: Array) -> float:
    """Squared Fréchet distance of the normal distributions with the rows' means and covariances.

    The trace of the square root of a product of covariances is the sum of the singular values of
    X Yᵀ, of the centred rows over √(n − 1). That matrix has a side a volume instead of one a
    feature, so it is small, exact, and no root of a nearly singular matrix is taken.

    The distance is biased: it shrinks as volumes are added, so compare it at one number alone.

    Args:
        one: (m, features), m at least 2.
        other: (n, features), n at least 2.

    Raises:
        InputError: Fewer rows, or other features.
    """
    if min(len(one), len(other)) < 2:
        raise InputError(f"found {len(one)} and {len(other)} volumes: expected two or more each")
    if one.shape[1] != other.shape[1]:
        raise InputError(
            f"{one.shape[1]} and {other.shape[1]} features: expected the same number in both"
        )
    x, y = _deviations(one), _deviations(other)
    shift = one.mean(0) - other.mean(0)
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    # Equal sets can come out a rounding below zero.
    return max(float(shift @ shift + np.sum(x * x) + np.sum(y * y) - 2 * root), 0.0)


def _deviations(rows: Array) -> Array:
    """Rows whose product XᵀX is the covariance."""
    return np.asarray((rows - rows.mean(0)) / np.sqrt(len(rows) - 1))
