"""What z says of measurements that are given with the scans, as a bound that training can raise.

The mutual information of z and a measurement m is at least H(m) + E[log q(m | z)] for any q (Barber
& Agakov 2003). H(m) is the cohort's, so to raise the bound is to raise log q: for the Gaussian q
here, to make m readable from z along one straight direction each, which is also what a walk along
that direction needs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST_LOG_SCALE = 3.0
"""Of q, either way: what is predicted exactly must not pull without end."""


class MeasurementHead(nn.Module):
    """q(m | z), a Gaussian for each measurement: its mean is linear in z, its spread is learnt.

    Args:
        latent: length of z.
        measurements: how many there are.
    """

    def __init__(self, latent: int, measurements: int) -> None:
        super().__init__()
        self.mean = nn.Linear(latent, measurements)
        self.log_scale = nn.Parameter(torch.zeros(measurements))

    def forward(self, latents: Tensor) -> Tensor:
        """What q expects of z (B, latent): standard scores (B, measurements)."""
        mean: Tensor = self.mean(latents)
        return mean

    def surprise(self, latents: Tensor, measurements: Tensor) -> Tensor:
        """-log q(m | z), averaged over the measurements that were made; NaN is one that was not.

        Args:
            latents: z (B, latent).
            measurements: (B, measurements) in standard scores, or NaN.

        Returns:
            (); H(m) less this, 1.42 for standard scores, bounds the mutual information below.
        """
        made = torch.isfinite(measurements)
        known = torch.where(made, measurements, 0.0)
        log_scale = self.log_scale.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
        errors = (known - self(latents)) * torch.exp(-log_scale)
        each = 0.5 * errors.square() + log_scale + 0.5 * math.log(2 * math.pi)
        surprise: Tensor = (each * made).sum() / made.sum().clamp_min(1)
        return surprise

    def overlap(self) -> Tensor:
        """How far the directions of the measurements are from being orthogonal: () in [0, 1].

        The mean squared cosine between two of them. Along a direction at right angles to the
        others q expects these to stay.
        """
        directions = functional.normalize(self.mean.weight, dim=1)
        cosines = directions @ directions.T
        count = len(cosines)
        off_diagonal = cosines.square().sum() - cosines.diagonal().square().sum()
        return off_diagonal / max(count * (count - 1), 1)
