"""G^L: from the shared features A to the low-resolution image X^L."""

from torch import Tensor, nn

from hagan_clinic.backbone.blocks import normalisation

CONTEXT_CHANNELS = 64
"""Channels of the features A."""


class LowResolutionHead(nn.Module):
    """G^L: A (B, 64, D/4, H/4, W/4) -> X^L (B, 1, D/4, H/4, W/4) in [-1, 1].

    Convolutions 64 -> 32 -> 16 -> 1, the layers of the paper's G^L.

    Args:
        context_channels: of A; each convolution halves them.
        norm: ``position`` or ``group``, see ``blocks.normalisation``.
    """

    def __init__(self, context_channels: int = CONTEXT_CHANNELS, norm: str = "position") -> None:
        super().__init__()
        half, quarter = context_channels // 2, context_channels // 4
        self.layers = nn.Sequential(
            nn.Conv3d(context_channels, half, 3, padding=1),
            normalisation(norm, half),
            nn.ReLU(inplace=True),
            nn.Conv3d(half, quarter, 3, padding=1),
            normalisation(norm, quarter),
            nn.ReLU(inplace=True),
            nn.Conv3d(quarter, 1, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, context: Tensor) -> Tensor:
        """The low-resolution image that the features A stand for."""
        image: Tensor = self.layers(context)
        return image
