"""PSNR, SSIM and NMSE of a prediction, over a region of the volume.

Prediction and reference are on [0, 1] (the reference by its own in-brain percentiles, the
prediction by nothing of the reference), and the prediction is clipped to that range.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.intensity import occupied_spans
from hagan_clinic.metrics.similarity import DATA_RANGE, WINDOW_RADIUS, SimilarityTo

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def psnr(prediction: Array, reference: Array, mask: Array | None = None) -> float:
    """Peak signal-to-noise ratio in dB: -10 log10 of the mean squared error over the region.

    Args:
        prediction: Values of any shape; clipped to [0, 1].
        reference: The same shape, on [0, 1].
        mask: The region, nonzero inside, the same shape; everything when left out.

    Returns:
        Decibels; infinity for a perfect prediction.

    Raises:
        InputError: Shapes differ, a value is not finite, the reference leaves [0, 1], or the
            region is empty.
    """
    error, _ = _region_values(prediction, reference, mask)
    mean_squared_error = float(np.mean(np.square(error)))
    if mean_squared_error == 0:
        return float("inf")
    return float(10 * np.log10(DATA_RANGE**2 / mean_squared_error))


def nmse(prediction: Array, reference: Array, mask: Array | None = None) -> float:
    """Normalised mean squared error: Σ(p − y)² / Σy² over the region.

    Takes and raises what `psnr` does; a reference that is zero all over the region is an
    `InputError` too.
    """
    error, reference_values = _region_values(prediction, reference, mask)
    energy = float(np.sum(np.square(reference_values)))
    if energy == 0:
        raise InputError(
            "the reference is zero all over the region, so NMSE is undefined; "
            "expected a region with signal in the reference"
        )
    return float(np.sum(np.square(error))) / energy


def ssim(prediction: Array, reference: Array, mask: Array | None = None) -> float:
    """Structural similarity in 3D, averaged over the SSIM map inside the mask.

    Args:
        prediction: Shape (D, H, W); clipped to [0, 1].
        reference: The same shape, on [0, 1].
        mask: The brain: both images are zeroed outside it. Everything when left out.

    Returns:
        The mean of `ssim_map` over the mask, at most 1.

    Raises:
        InputError: As `psnr`.
    """
    prediction, reference, mask = checked(prediction, reference, mask)
    if mask is None:
        return float(np.mean(ssim_map(prediction, reference), dtype=np.float64))
    box = window_box(mask)
    similarity = ssim_map(prediction[box], reference[box], mask[box])
    return float(np.mean(similarity[mask[box]], dtype=np.float64))


def ssim_map(prediction: Array, reference: Array, mask: Array | None = None) -> Array:
    """Structural similarity at each voxel (`metrics.similarity` has the definition).

    Args:
        prediction: Shape (D, H, W); clipped to [0, 1].
        reference: The same shape, on [0, 1].
        mask: Both images are zeroed outside it; nothing is when left out.

    Returns:
        The map, shape (D, H, W), float64.

    Raises:
        InputError: As `psnr`.
    """
    prediction, reference, mask = checked(prediction, reference, mask)
    if mask is not None:
        prediction, reference = prediction * mask, reference * mask
    return SimilarityTo(reference).compare(prediction).map


def window_box(mask: Mask) -> tuple[slice, slice, slice]:
    """The part of the volume that the windows of the mask's voxels reach."""
    spans = occupied_spans(mask, part=0)
    d, h, w = (slice(max(low - WINDOW_RADIUS, 0), high + WINDOW_RADIUS) for low, high in spans)
    return d, h, w


def _region_values(
    prediction: Array, reference: Array, mask: Array | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Error and reference inside the region, in float64."""
    prediction, reference, region = checked(prediction, reference, mask)
    if region is not None:
        prediction, reference = prediction[region], reference[region]
    truth = reference.astype(np.float64)
    return prediction - truth, truth


def checked(
    prediction: Array, reference: Array, mask: Array | None
) -> tuple[Array, Array, Mask | None]:
    """Prediction, clipped, reference and region, none of which stands in the way of figures.

    Raises:
        InputError: As `psnr`.
    """
    if prediction.shape != reference.shape:
        raise InputError(
            f"the prediction has shape {prediction.shape} and the reference {reference.shape}, "
            "expected the same; bring both to one grid first"
        )
    if not (np.isfinite(prediction).all() and np.isfinite(reference).all()):
        raise InputError("the prediction or the reference holds NaN or infinite values")
    if reference.size and (reference.min() < 0 or reference.max() > DATA_RANGE):
        raise InputError(
            f"the reference lies on [{reference.min():g}, {reference.max():g}], expected [0, 1]; "
            "scale it by its own percentiles in the brain and clip it"
        )
    clipped = np.clip(prediction, 0, DATA_RANGE)
    return clipped, reference, None if mask is None else _checked_mask(mask, reference.shape)


def _checked_mask(mask: Array, shape: tuple[int, ...]) -> Mask:
    if mask.shape != shape:
        raise InputError(f"a mask has shape {mask.shape} and the images {shape}, expected the same")
    region = mask.astype(bool, copy=False)
    if not region.any():
        raise InputError("a region is empty, expected at least one voxel in it")
    return region
