"""G^L: from the shared features A to the low-resolution image X^L."""

import torch
from torch import Tensor, nn

from hagan_clinic.backbone.blocks import bounded, normalisation
from hagan_clinic.backbone.chain import chained

CONTEXT_CHANNELS = 64
"""Channels of the features A."""


class LowResolutionHead(nn.Module):
    """G^L: A (B, 64, D/4, H/4, W/4) -> X^L (B, 1, D/4, H/4, W/4) in [-1, 1].

    Convolutions 64 -> 32 -> 16 -> 1, the layers of the paper's G^L. Channels of A beyond
    ``context_channels`` are an image's, whose mean is added to.

    Args:
        context_channels: of A; each convolution halves them.
        norm: ``position`` or ``group``, see ``blocks.normalisation``.
        checkpointing: recompute norms and activations in the backward pass, see ``chained``.
    """

    def __init__(
        self,
        context_channels: int = CONTEXT_CHANNELS,
        norm: str = "position",
        *,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.channels = context_channels
        half, quarter = context_channels // 2, context_channels // 4
        self.layers = nn.Sequential(
            nn.Conv3d(context_channels, half, 3, padding=1),
            normalisation(norm, half),
            nn.ReLU(inplace=True),
            nn.Conv3d(half, quarter, 3, padding=1),
            normalisation(norm, quarter),
            nn.ReLU(inplace=True),
            nn.Conv3d(quarter, 1, 3, padding=1),
        )

    def forward(self, context: Tensor) -> Tensor:
        """The low-resolution image that the features A stand for."""
        layers = self.layers
        features, beside = context[:, : self.channels], context[:, self.channels :]
        image = chained(
            features,
            [layers[0], layers[3], layers[6]],
            [layers[1:3], layers[4:6]],
            recompute=self.checkpointing,
        )
        image = torch.tanh(image)
        return bounded(beside.mean(1, keepdim=True) + image) if beside.shape[1] else image
