"""E^H and E^G: from a volume, slab by slab, back to the z that G makes it from."""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hagan_clinic.backbone.blocks import normalisation
from hagan_clinic.backbone.synthesising import EncodingNetwork
from hagan_clinic.unconditional.generator import HAGANConfig


class EncodingBlock(nn.Module):
    """Convolution, group norm, ReLU; halves each side with a 4x4x4 kernel of stride 2 if asked."""

    def __init__(self, in_channels: int, out_channels: int, *, halve: bool = True) -> None:
        super().__init__()
        kernel, stride = (4, 2) if halve else (3, 1)
        self.convolution = nn.Conv3d(in_channels, out_channels, kernel, stride, padding=1)
        self.norm = normalisation("group", out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, out, D/2, H/2, W/2), or the same size."""
        # In place: the backward pass of a norm needs what went in, not what came out.
        return functional.relu(self.norm(self.convolution(features)), inplace=True)


class SlabEncoder(nn.Module):
    """E^H: slabs (B, 1, d, H, W) -> A_r (B, 64, d/4, H/4, W/4)."""

    def __init__(self, context_channels: int) -> None:
        super().__init__()
        half = context_channels // 2
        self.blocks = nn.Sequential(
            EncodingBlock(1, half),
            EncodingBlock(half, half, halve=False),
            EncodingBlock(half, context_channels),
        )

    def forward(self, slabs: Tensor) -> Tensor:
        """The features of each slab; its border is padded with zeros, wherever it lies."""
        features: Tensor = self.blocks(slabs)
        return features


class LatentEncoder(nn.Module):
    """E^G: A (B, 64, D/4, H/4, W/4) -> z (B, latent)."""

    def __init__(self, config: HAGANConfig) -> None:
        super().__init__()
        top = config.width // 2
        all_widths = (top // 8, top // 4, top // 2, top)
        widths = (config.context_channels, *all_widths[len(all_widths) - config.upsamples :])
        self.blocks = nn.Sequential(*(EncodingBlock(a, b) for a, b in pairwise(widths)))
        self.last = nn.Conv3d(top, config.latent, config.base)

    def forward(self, context: Tensor) -> Tensor:
        """The z of a whole volume's features."""
        latent: Tensor = self.last(self.blocks(context))
        return latent.flatten(1)


class VolumeEncoder(EncodingNetwork):
    """E: X^H (B, 1, D, H, W) -> z, by E^H on the D / d disjoint slabs and E^G on all of them.

    Args:
        config: sizes.
        checkpointing: recompute E^H in the backward pass instead of keeping it.
    """

    def __init__(self, config: HAGANConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = checkpointing
        self.slab = SlabEncoder(config.context_channels)
        self.latent = LatentEncoder(config)

    def slabs(self, slabs: Tensor) -> Tensor:
        """E^H: (B, 1, d, H, W) -> (B, 64, d/4, H/4, W/4)."""
        if self.checkpointing and torch.is_grad_enabled():
            again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
            features: Tensor = again(self.slab, slabs)
        else:
            features = self.slab(slabs)
        return features

    def context(self, volume: Tensor) -> Tensor:
        """A of whole volumes (B, 1, D, H, W), one slab after the other to hold one at a time."""
        slabs = volume.split(self.config.slab, dim=2)
        return torch.cat([self.slab(slab) for slab in slabs], dim=2)

    def forward(self, slabs: Tensor) -> Tensor:
        """One volume as its disjoint slabs in order (D / d, 1, d, H, W) -> z (1, latent)."""
        features = self.slab(slabs)
        latent: Tensor = self.latent(torch.cat(features.split(1), dim=2))
        return latent

    def encode(self, volume: Tensor) -> Tensor:
        """The z (B, latent) of whole volumes (B, 1, D, H, W)."""
        latent: Tensor = self.latent(self.context(volume))
        return latent
