"""G^L: from the shared features A to the low-resolution image X^L."""

from torch import Tensor, nn

from hagan_clinic.backbone.blocks import PositionNorm

CONTEXT_CHANNELS = 64
"""Channels of the features A."""


class LowResolutionHead(nn.Module):
    """G^L: A (B, 64, D/4, H/4, W/4) -> X^L (B, channels, D/4, H/4, W/4) in [-1, 1].

    Convolutions 64 -> 32 -> 16 -> channels, the layers of the paper's G^L.
    """

    def __init__(self, channels: int = 1, context_channels: int = CONTEXT_CHANNELS) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(context_channels, 32, 3, padding=1),
            PositionNorm(32),
            nn.ReLU(),
            nn.Conv3d(32, 16, 3, padding=1),
            PositionNorm(16),
            nn.ReLU(),
            nn.Conv3d(16, channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, context: Tensor) -> Tensor:
        """The low-resolution image that the features A stand for."""
        image: Tensor = self.layers(context)
        return image
