"""Detail for the linear model's image: G^A and G^H of a generator that refines it.

Both see that image and nothing else of z, as the conditional generator sees a scan: G^A the whole
of it at a quarter of the resolution, G^H the slab at half and at full resolution. What is made of z
directly, or at a quarter of the resolution alone, is no cortex but a pattern: G can then tell
reconstructions from samples, and blur the ones while it overdraws the others.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hagan_clinic.backbone.blocks import PositionNorm
from hagan_clinic.backbone.doubling import convolve_doubled
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.unconditional.components import CELL, Cells, ComponentImage
from hagan_clinic.unconditional.sizes import HAGANConfig

FULL_WIDTH = 12
"""Channels at full resolution."""

SLOPE = 0.1


class RefiningBlock(nn.Module):
    """x + conv(LeakyReLU(conv(norm(x)))), normalised per position; starts as the identity."""

    compiles = ("forward",)

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


class ImageTrunk(nn.Module):
    """G^A: z (B, latent) -> the linear model's image and features of it, (B, 64 + C, D/4, ...)."""

    def __init__(self, config: HAGANConfig) -> None:
        super().__init__()
        channels = config.context_channels
        self.linear = ComponentImage(config.size, config.latent, config.component_factor)
        self.cells = Cells(LOW_RES_FACTOR)
        self.first = nn.Conv3d(CELL, channels, 3, padding=1)
        self.block = RefiningBlock(channels)

    def forward(self, latent: Tensor) -> Tensor:
        """The features A of a whole volume, with the image beside them."""
        image = self.cells.apart(self.linear(latent))
        return torch.cat([self.block(self.first(image)), image], dim=1)


class Refinement(nn.Module):
    """What is added to an image, of the image and of features at half of its resolution.

    Args:
        channels: of the features.
        blocks: at half resolution; each sees two voxels further.
        checkpointing: compute blocks again in the backward pass.
    """

    def __init__(self, channels: int, blocks: int, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.cells = Cells(2)
        self.first = nn.Conv3d(self.cells.side**3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(RefiningBlock(channels) for _ in range(blocks))
        self.norm = PositionNorm(channels)
        self.up = nn.Conv3d(channels, FULL_WIDTH, 3, padding=1)
        self.last = nn.Conv3d(FULL_WIDTH + 1, 1, 3, padding=1)
        start_at_zero(self.last)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, d/2, H/2, W/2) and (B, 1, d, H, W) in [-1, 1] -> (B, 1, d, H, W)."""
        signal = image + 1  # air is zero, as the padding beside it
        features = features + self.first(self.cells.apart(signal))
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                features = checkpoint(
                    block, features, use_reentrant=False, preserve_rng_state=False
                )
            else:
                features = block(features)
        features = functional.leaky_relu(self.norm(features), SLOPE)
        features = functional.leaky_relu(convolve_doubled(features, self.up), SLOPE)
        detail: Tensor = self.last(torch.cat([features, signal], dim=1))
        return detail


def start_at_zero(layer: nn.Conv3d) -> None:
    """Let a last layer add nothing at first."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
