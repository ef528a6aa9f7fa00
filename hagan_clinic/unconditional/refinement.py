"""Detail for the linear model's image: the part of G^H that draws what components leave out.

It works where the image is, at half and at full resolution, as E^H and G^H of the conditional
generator do. What is made of A alone, at a quarter of the resolution, shows the grid of A instead
of a cortex.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.blocks import PositionNorm
from hagan_clinic.backbone.doubling import convolve_doubled
from hagan_clinic.unconditional.components import Cells

FULL_WIDTH = 12
"""Channels at full resolution."""

SLOPE = 0.1


class RefiningBlock(nn.Module):
    """x + conv(LeakyReLU(conv(norm(x)))), normalised per position; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PositionNorm(channels)
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        start_at_zero(self.second)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, d, h, w) -> same."""
        inner = functional.leaky_relu(self.first(self.norm(features)), SLOPE)
        return features + cast(Tensor, self.second(inner))


class Refinement(nn.Module):
    """What is added to an image, of the image and of features at half of its resolution.

    Args:
        channels: of the features.
        blocks: at half resolution; each sees two voxels further.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.cells = Cells(2)
        self.first = nn.Conv3d(self.cells.side**3, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(RefiningBlock(channels) for _ in range(blocks)))
        self.norm = PositionNorm(channels)
        self.up = nn.Conv3d(channels, FULL_WIDTH, 3, padding=1)
        self.last = nn.Conv3d(FULL_WIDTH + 1, 1, 3, padding=1)
        start_at_zero(self.last)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, d/2, H/2, W/2) and (B, 1, d, H, W) in [-1, 1] -> (B, 1, d, H, W)."""
        signal = image + 1  # air is zero, as the padding beside it
        features = self.blocks(features + self.first(self.cells.apart(signal)))
        features = functional.leaky_relu(self.norm(features), SLOPE)
        features = functional.leaky_relu(convolve_doubled(features, self.up), SLOPE)
        detail: Tensor = self.last(torch.cat([features, signal], dim=1))
        return detail


def start_at_zero(layer: nn.Conv3d) -> None:
    """Let a last layer add nothing at first."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
