"""Losses, each averaged first over a sample's region, then over the samples.

Averaging per sample makes the mean over several processes equal to the mean over one larger
batch, and weighs a patient with a small brain like any other.
"""

import torch
from torch import Tensor
from torch.nn import functional


def regional_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over each sample's voxels, then over samples: (B, 1, D, H, W) -> ()."""
    axes = tuple(range(1, values.dim()))
    per_sample = (values * weights).sum(axes) / weights.sum(axes).clamp_min(1.0)
    return per_sample.mean()


def reconstruction_loss(prediction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """L1, rounded within 1 of zero (Huber), for images in [-1, 1].

    Within the rounding its optimum is the mean, not the median: a lesion that the source makes
    likely but not certain is drawn, as grey as it is likely.
    """
    errors = functional.smooth_l1_loss(prediction, target, reduction="none", beta=1.0)
    return regional_mean(errors, weights)


def absolute_loss(prediction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """The L1 error, a weighted mean."""
    return regional_mean((prediction - target).abs(), weights)


def region_weights(brain: Tensor, background: float) -> Tensor:
    """Weights of voxels: 1 in the brain, ``background`` outside, between them at its edge."""
    return background + (1 - background) * brain


def laplace_nll(scale: Tensor, error: Tensor, weights: Tensor) -> Tensor:
    """Negative log-likelihood of ``error`` under Laplace(0, scale).

    The error is taken as data (detached): this loss fits the error bar and leaves the image
    to the reconstruction term.
    """
    return regional_mean(torch.log(2 * scale) + error.detach().abs() / scale, weights)


def _box_mean(image: Tensor, side: int) -> Tensor:
    for axis in range(3):
        kernel = [1, 1, 1]
        length = image.shape[2 + axis]
        kernel[axis] = min(side, length - (length + 1) % 2)
        padding = [k // 2 for k in kernel]
        image = functional.avg_pool3d(
            image, kernel, stride=1, padding=padding, count_include_pad=False
        )
    return image


def structure_loss(prediction: Tensor, target: Tensor, brain: Tensor, side: int = 5) -> Tensor:
    """1 - SSIM (Wang et al. 2004) over the brain, in a cubic window, images in [-1, 1].

    Both images are zeroed outside the brain, as in evaluation. All are (B, 1, D, H, W). Along an
    axis shorter than ``side`` the window has the longest odd length that fits.
    """
    p, t = (prediction + 1) / 2 * brain, (target + 1) / 2 * brain
    moments = _box_mean(torch.cat([p, t, p * p, t * t, p * t], dim=1), side)
    mean_p, mean_t, pp, tt, pt = moments.split(1, dim=1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    covariance = pt - mean_p * mean_t
    variances = pp - mean_p**2 + tt - mean_t**2
    ssim = luminance * (2 * covariance + c2) / (variances + c2)
    return regional_mean(1 - ssim, brain)


def real_loss(logits: Tensor) -> Tensor:
    """BCE with logits against the label "real" (also the non-saturating generator loss)."""
    return functional.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """BCE with logits against the label "fake"."""
    return functional.softplus(logits).mean()
