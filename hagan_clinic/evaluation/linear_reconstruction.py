"""The reference baseline of reconstructions: principal components of the training scans."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

Float32 = NDArray[np.float32]


class PrincipalComponents:
    """Mean and principal components of training scans, which bring other scans back.

    An encoder and generator have to be better than as many components as a line of their table
    names; none at all is the mean brain.

    Args:
        scans: (n, D, H, W) in [0, 1], two or more.
        most: How many components are kept; at most n - 1 say anything.

    Raises:
        InputError: There are fewer than two scans.
    """

    def __init__(self, scans: Float32, most: int) -> None:
        if len(scans) < 2:
            raise InputError(f"{len(scans)} training scans: components need two or more")
        rows = scans.reshape(len(scans), -1)
        self.count = min(most, len(rows) - 1)
        self._mean = rows.mean(0)
        rows = rows - self._mean
        # The scans are few and long: their products give the axes that a decomposition would.
        sizes, mixtures = np.linalg.eigh(rows @ rows.T)
        kept = slice(None, -self.count - 1, -1)
        self._axes = (mixtures[:, kept] / np.sqrt(np.maximum(sizes[kept], 1e-12))).T @ rows

    def reconstruct(self, scan: Float32, count: int) -> Float32:
        """What ``count`` components keep of a scan (D, H, W) in [0, 1]."""
        axes = self._axes[:count]
        flat = self._mean + (axes @ (scan.reshape(-1) - self._mean)) @ axes
        back: Float32 = np.clip(flat, 0, 1).astype(np.float32).reshape(scan.shape)
        return back


def component_names(counts: Sequence[int]) -> dict[str, int]:
    """Counts of components by the names of their rows."""
    return {
        "mean of the training scans"
        if count == 0
        else f"{count} principal component{'s' if count > 1 else ''}": count
        for count in counts
    }
