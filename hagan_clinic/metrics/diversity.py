"""How much synthetic volumes are like real ones, and unlike each other."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.metrics.similarity import UNIFORM, SimilarityTo, scale_weights

NEAREST = 5
"""Neighbours that set a neighbourhood's size in `coverage`: the choice of Naeem et al. 2020."""


def pairwise_ms_ssim(volumes: Sequence[NDArray[np.float32]], pairs: int, seed: int) -> float:
    """Mean multi-scale SSIM over pairs of volumes: the higher, the more alike they are.

    Args:
        volumes: (D, H, W) in [0, 1], of one shape.
        pairs: how many pairs are drawn; all of them if there are fewer.
        seed: of the draw.

    Raises:
        InputError: fewer than two volumes, or too small ones.
    """
    every = list(combinations(range(len(volumes)), 2))
    if not every:
        raise InputError(f"found {len(volumes)} volumes: expected at least two to compare")
    chosen = every
    if len(every) > pairs:
        drawn = np.random.default_rng(seed).choice(len(every), pairs, replace=False)
        chosen = [every[number] for number in sorted(drawn)]
    scale_weights(min(volumes[0].shape), UNIFORM)  # refuses what holds no window
    values = [
        SimilarityTo(volumes[one], UNIFORM).compare(volumes[other]).multi_scale()
        for one, other in chosen
    ]
    return float(np.mean(values))


def kernel_width(rows: NDArray[np.float64]) -> float:
    """The median squared distance between rows, for the kernel of `maximum_mean_discrepancy`.

    Args:
        rows: (n, features), n at least 2.

    Raises:
        InputError: rows that are all equal.
    """
    width = float(np.median(_squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]))
    if width <= 0:
        raise InputError("the volumes are all alike: their distances give no kernel width")
    return width


def maximum_mean_discrepancy(
    one: NDArray[np.float64], other: NDArray[np.float64], width: float | None = None
) -> float:
    """Squared MMD of two sets of rows, unbiased (Gretton et al. 2012, eq. 3), Gaussian kernel.

    About 0 if both come from one distribution, and then it may be slightly negative.

    Args:
        one: (m, features), m at least 2.
        other: (n, features), n at least 2.
        width: of the kernel; that of ``other`` if None.

    Raises:
        InputError: fewer rows, or rows of ``other`` that are all equal.
    """
    if min(len(one), len(other)) < 2:
        raise InputError(f"found {len(one)} and {len(other)} volumes: expected two or more each")
    within = _squared_distances(other, other)
    width = kernel_width(other) if width is None else width
    kernels = [np.exp(-_squared_distances(a, b) / width) for a, b in ((one, one), (one, other))]
    same_other = np.exp(-within / width)
    m, n = len(one), len(other)
    first = (kernels[0].sum() - m) / (m * (m - 1))
    second = (same_other.sum() - n) / (n * (n - 1))
    return float(first + second - 2 * kernels[1].mean())


def _squared_distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.asarray(np.maximum(squares, 0))


def coverage(made: NDArray[np.float64], real: NDArray[np.float64], nearest: int = NEAREST) -> float:
    """How many real rows have a made one in their neighbourhood (Naeem et al. 2020, eq. 8).

    A row's neighbourhood reaches to the ``nearest``-th nearest other real row. Of two draws of as
    many rows from one distribution it is about 1 - 2^-nearest; where a mode of the real ones is
    never made it falls by that mode's share.

    Args:
        made: (m, features).
        real: (n, features), n above ``nearest``.
        nearest: neighbours that set a neighbourhood's size.

    Raises:
        InputError: no made row, or too few real ones.
    """
    if not len(made) or len(real) <= nearest:
        raise InputError(
            f"found {len(made)} made and {len(real)} real volumes: expected one or more, and more "
            f"than {nearest}"
        )
    radii = np.sort(_squared_distances(real, real), axis=1)[:, nearest]  # the first is itself
    reached = _squared_distances(real, made).min(1) <= radii
    return float(reached.mean())
