"""How far encoded z lie from the noise that volumes are sampled from."""

import torch
from torch import Tensor

DRAWN = 64
"""Samples of N(0, I) that a batch is set against."""

SCALES = (0.2, 1.0, 5.0)
"""Of the kernels, around the squared distance that two samples of N(0, I) have on average."""


def prior_discrepancy(latents: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between encoded z and N(0, I), as in WAE-MMD.

    The unbiased estimate of Tolstikhin et al. 2018 (alg. 2), with their inverse multiquadratic
    kernel c / (c + |x - y|^2), averaged over three scales. It pulls every z towards the noise and
    pushes the z of one batch apart, so that volumes do not share a corner of the latent space.

    Args:
        latents: z (B, latent) of two or more volumes.

    Returns:
        (), 0 on average where z is standard normal; single batches may give less.
    """
    drawn = torch.randn(DRAWN, latents.shape[1]).to(latents)  # on the CPU: the same on every device
    among_latents = _kernel(latents, latents)
    among_drawn = _kernel(drawn, drawn)
    return (
        _off_diagonal_mean(among_latents)
        + _off_diagonal_mean(among_drawn)
        - 2 * _kernel(latents, drawn).mean()
    )


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    """(B, latent) and (N, latent) -> (B, N)."""
    length = one.shape[1]
    # Not cdist: its gradient at distance zero, of a z to itself, is not finite on every device.
    squares = (one[:, None] - other[None]).square().sum(2)
    widths = [2 * length * scale for scale in SCALES]
    return torch.stack([width / (width + squares) for width in widths]).mean(0)


def _off_diagonal_mean(kernel: Tensor) -> Tensor:
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))
