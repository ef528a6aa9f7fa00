"""Structural similarity to one reference, of any number of predictions, at one scale and many.

What SSIM needs of the reference alone is computed once. The first scale of multi-scale SSIM is
the SSIM map itself, which has the same window.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from hagan_clinic.errors import InputError

DATA_RANGE = 1.0
SIGMA = 1.5  # voxels
TRUNCATE = 3.5  # sigmas
K1, K2 = 0.01, 0.03
WINDOW_RADIUS = int(TRUNCATE * SIGMA + 0.5)  # voxels, as gaussian_filter rounds it
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales of multi-scale SSIM, from fine to coarse (Wang et al. 2003)."""

_C1, _C2 = (K1 * DATA_RANGE) ** 2, (K2 * DATA_RANGE) ** 2

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class SmoothingWindow:
    """What voxels a local mean is over.

    Attributes:
        radius: Voxels on each side of the middle.
        mean: Local means of a volume that is mirrored at its borders.
    """

    radius: int
    mean: Callable[[Float64], Float64]

    @property
    def side(self) -> int:
        """Voxels along an axis."""
        return 2 * self.radius + 1


GAUSSIAN = SmoothingWindow(WINDOW_RADIUS, partial(gaussian_filter, sigma=SIGMA, truncate=TRUNCATE))
"""Sigma 1.5 voxels, truncated at 3.5 sigma."""

UNIFORM = SmoothingWindow(3, partial(uniform_filter, size=7))
"""7 × 7 × 7 voxels of equal weight."""


class SimilarityTo:
    """SSIM (Wang et al. 2004, eq. 13) and MS-SSIM (Wang et al. 2003) to one reference.

    K 0.01 and 0.03; data range 1; population covariance; the volume is mirrored at its borders.
    All is float64: in single precision E[x²] − E[x]² loses digits.

    Args:
        reference: (D, H, W), on [0, 1].
        window: Of the local means.
    """

    def __init__(self, reference: NDArray[Any], window: SmoothingWindow = GAUSSIAN) -> None:
        self.window = window
        self._reference = reference.astype(np.float64)
        self._mean = window.mean(self._reference)
        self._mean_square = np.square(self._mean)
        self._variance = window.mean(np.square(self._reference)) - self._mean_square

    def compare(self, prediction: NDArray[Any]) -> "Similarity":
        """Compare a prediction of the reference's shape, on [0, 1]."""
        return Similarity(self, prediction.astype(np.float64))

    @cached_property
    def coarser(self) -> "SimilarityTo":
        """The same at half the resolution."""
        return SimilarityTo(_halved(self._reference), self.window)

    def terms(self, prediction: Float64) -> tuple[Float64, Float64]:
        """Luminance and contrast-structure terms at each voxel; SSIM is their product."""
        mean = self.window.mean(prediction)
        variance = self.window.mean(np.square(prediction))
        covariance = self.window.mean(prediction * self._reference)
        product, square = mean * self._mean, np.square(mean)
        variance += self._variance
        variance -= square
        variance += _C2
        covariance -= product
        covariance *= 2
        covariance += _C2
        covariance /= variance
        square += self._mean_square
        square += _C1
        product *= 2
        product += _C1
        product /= square
        return product, covariance


class Similarity:
    """How similar one prediction is.

    Args:
        to: The reference.
        prediction: (D, H, W), float64.
    """

    def __init__(self, to: SimilarityTo, prediction: Float64) -> None:
        self._to, self._prediction = to, prediction
        self._luminance, self._structure = to.terms(prediction)

    @cached_property
    def map(self) -> Float64:
        """SSIM at each voxel."""
        return self._luminance * self._structure

    def multi_scale(self) -> float:
        """MS-SSIM over the whole volume, of as many of five scales as `scale_weights` takes.

        Terms are averaged over the voxels whose windows lie inside the volume. NaN where none
        does.
        """
        shortest, window = min(self._prediction.shape), self._to.window
        if shortest < window.side:
            return math.nan
        weights = scale_weights(shortest, window)
        here, result = self, 1.0
        for left in range(len(weights), 0, -1):
            values = here.map if left == 1 else here._structure
            inner = (slice(window.radius, -window.radius),) * 3
            result *= max(float(values[inner].mean()), 0.0) ** weights[-left]
            if left > 1:
                coarser = here._to.coarser
                here = coarser.compare(_halved(here._prediction))
        return result


def scale_weights(side: int, window: SmoothingWindow = GAUSSIAN) -> tuple[float, ...]:
    """Weights of the scales, summing to one, that fit a volume whose shortest side is given.

    Sides over 160 voxels have five scales and 64 voxels three, by MONAI's rule: a side over the
    square of the number of halvings is wider than the window less one. The halved side must hold
    a window too, which MONAI does not ask, and fails at 11 to 21 voxels.

    Raises:
        InputError: Not even one fits.
    """
    fitting = [
        weight
        for halvings, weight in enumerate(SCALE_WEIGHTS)
        if min(side // max(1, halvings) ** 2, side >> halvings) >= window.side
    ]
    if not fitting:
        raise InputError(
            f"the volumes have sides of {side} voxels: expected at least {window.side}"
        )
    return tuple(weight / sum(fitting) for weight in fitting)


def _halved(array: Float64) -> Float64:
    """Means of 2 × 2 × 2 voxels; an odd last plane is left out."""
    d, h, w = (side // 2 for side in array.shape)
    blocks = array[: 2 * d, : 2 * h, : 2 * w].reshape(d, 2, h, 2, w, 2)
    return np.asarray(blocks.mean((1, 3, 5)))
