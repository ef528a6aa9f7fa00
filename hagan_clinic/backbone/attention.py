"""Self-attention over every position of a grid (in a GAN first by Zhang et al. 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

NARROWER = 8
"""Queries and keys have so many times fewer channels than the features, as in SAGAN."""


class SelfAttention(nn.Module):
    """x + gain * attention(x): what a position becomes depends on what all of them are.

    A convolution joins two far ends of a head after many layers; this does in one, for instance the
    two hemispheres. Its cost grows with the square of the positions, so it belongs on a coarse
    grid. The gain starts at 0: at first the block is the identity.

    Args:
        channels: of input and output, a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // NARROWER
        self.query = nn.Conv3d(channels, narrow, 1)
        self.key = nn.Conv3d(channels, narrow, 1)
        self.value = nn.Conv3d(channels, channels, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> same."""
        # One head, as an axis of its own: the ONNX exporter knows no other form.
        query, key, value = (
            part(features).flatten(2).transpose(1, 2).unsqueeze(1)
            for part in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        return features + self.gain * seen.squeeze(1).transpose(1, 2).reshape(features.shape)
