"""E^H and E^G: from a volume, slab by slab, back to the z that G makes it from."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.blocks import normalisation
from hagan_clinic.backbone.chain import chained
from hagan_clinic.backbone.slab import LOW_RES_FACTOR, take_slabs
from hagan_clinic.backbone.synthesising import AutoencodingNetwork, EncodingNetwork
from hagan_clinic.unconditional.components import Cells, ComponentScores
from hagan_clinic.unconditional.generator import UnconditionalGenerator
from hagan_clinic.unconditional.sizes import HAGANConfig


class EncodingBlock(nn.Module):
    """Convolution, group norm, ReLU; halves each side with a 4x4x4 kernel of stride 2 if asked."""

    compiles = ("activate",)

    def __init__(self, in_channels: int, out_channels: int, *, halve: bool = True) -> None:
        super().__init__()
        kernel, stride = (4, 2) if halve else (3, 1)
        self.convolution = nn.Conv3d(in_channels, out_channels, kernel, stride, padding=1)
        self.norm = normalisation("group", out_channels)

    def activate(self, features: Tensor) -> Tensor:
        """Norm and ReLU."""
        # In place: the backward pass of a norm needs what went in, not what came out.
        return functional.relu(self.norm(features), inplace=True)


class SlabEncoder(nn.Module):
    """E^H: slabs (B, 1, d, H, W) -> A_r (B, 64, d/4, H/4, W/4).

    The same layers, of features instead of an image, bring those of a finer level to a coarser one.

    Args:
        context_channels: of A.
        in_channels: of the slabs.
        coarse: the slab, averaged over cubes of so many voxels, lies beside the features as
            channels; 0 for none.
        checkpointing: as of ``VolumeEncoder``.
    """

    def __init__(
        self,
        context_channels: int,
        in_channels: int = 1,
        *,
        coarse: int = 0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.coarse = coarse
        self.cells = Cells(LOW_RES_FACTOR // coarse) if coarse else None
        half = context_channels // 2
        self.blocks = nn.ModuleList(
            [
                EncodingBlock(in_channels, half),
                EncodingBlock(half, half, halve=False),
                EncodingBlock(half, context_channels),
            ]
        )

    def forward(self, slabs: Tensor) -> Tensor:
        """The features of each slab; its border is padded with zeros, wherever it lies."""
        blocks = [cast(EncodingBlock, block) for block in self.blocks]
        activate = [block.activate for block in blocks]
        convolutions = [block.convolution for block in blocks]
        features = chained(slabs, convolutions, activate[:-1], recompute=self.checkpointing)
        features = activate[-1](features)
        if self.cells is None:
            return features
        image = self.cells.apart(functional.avg_pool3d(slabs, self.coarse))
        return torch.cat([features, image], dim=1)


class LatentEncoder(nn.Module):
    """E^G: A (B, 64, D/4, H/4, W/4) -> z (B, latent)."""

    def __init__(self, config: HAGANConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        top = config.width // 2
        all_widths = (top // 8, top // 4, top // 2, top)
        widths = (config.width // 8, *all_widths[len(all_widths) - config.upsamples :])
        self.blocks = nn.ModuleList(EncodingBlock(a, b) for a, b in pairwise(widths))
        self.last = nn.Conv3d(top, config.latent, config.base)
        self.channels = config.width // 8
        self.scores: ComponentScores | None = None
        if config.components:
            factor = config.component_factor
            self.cells = Cells(LOW_RES_FACTOR // factor)
            self.scores = ComponentScores(config.size, config.latent, factor)
            assert self.last.bias is not None
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, context: Tensor) -> Tensor:
        """The z of a whole volume's features."""
        learnt: Tensor = self._learnt(context[:, : self.channels])
        if self.scores is None:
            return learnt
        coarse = self.cells.together(context[:, self.channels :])
        return learnt + cast(Tensor, self.scores(coarse))

    def _learnt(self, context: Tensor) -> Tensor:
        blocks = [cast(EncodingBlock, block) for block in self.blocks]
        convolutions = [*(block.convolution for block in blocks), self.last]
        activate = [block.activate for block in blocks]
        return chained(context, convolutions, activate, recompute=self.checkpointing).flatten(1)


class VolumeEncoder(EncodingNetwork):
    """E: X^H (B, 1, D, H, W) -> z, by E^H on the D / d disjoint slabs and E^G on all of them.

    With more than one level, ``coarser`` stands between them, from the finest level down; each
    takes disjoint slabs of d slices of its own.

    Args:
        config: sizes.
        checkpointing: recompute norms and activations in the backward pass, see ``chained``.
    """

    def __init__(self, config: HAGANConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        channels = config.width // 8
        coarse = config.component_factor if config.components else 0
        self.slab = SlabEncoder(channels, coarse=coarse, checkpointing=checkpointing)
        self.coarser = nn.ModuleList(
            SlabEncoder(channels, channels, checkpointing=checkpointing)
            for _ in range(config.levels - 1)
        )
        self.latent = LatentEncoder(config, checkpointing=checkpointing)

    def context(self, volume: Tensor) -> Tensor:
        """A of whole volumes (B, 1, D, H, W), one slab after the other to hold one at a time."""
        slab = self.config.slab
        thick = slab * LOW_RES_FACTOR ** len(self.coarser)  # what one slab of level 1 comes from
        parts = []
        for features in volume.split(thick, dim=2):
            for encoder in self.encoders:
                features = torch.cat([encoder(part) for part in features.split(slab, dim=2)], dim=2)
            parts.append(features)
        return torch.cat(parts, dim=2)

    def coarsened(self, volume: Tensor, starts: Sequence[int], times: int) -> Tensor:
        """Features, so many levels below the finest, in a slab of theirs of each volume.

        Args:
            volume: (B, 1, D, H, W).
            starts: where the slab of each starts, in slices of that level.
            times: how often features are made coarser by 4; 0 gives the slab of the volume.

        Returns:
            (B, 64 or 1, slab, h, w).
        """
        slab, by = self.config.slab, LOW_RES_FACTOR**times
        features = take_slabs(volume, [start * by for start in starts], slab * by)
        for encoder in self.encoders[:times]:
            features = torch.cat([encoder(part) for part in features.split(slab, dim=2)], dim=2)
        return features

    @property
    def encoders(self) -> tuple[nn.Module, ...]:
        """E^H and the encoders of coarser levels."""
        return (self.slab, *self.coarser)

    def forward(self, slabs: Tensor) -> Tensor:
        """One volume as its disjoint slabs in order (D / d, 1, d, H, W) -> z (1, latent)."""
        return self.from_features(self.slab(slabs))

    def from_features(self, features: Tensor) -> Tensor:
        """From E^H's features of one volume's slabs in order (D / d, 64, d/4, ...) its z."""
        for encoder in self.coarser:
            slabs = features.unflatten(0, (-1, LOW_RES_FACTOR))  # four make a slab of this level
            features = encoder(slabs.transpose(1, 2).flatten(2, 3))
        latent: Tensor = self.latent(torch.cat(features.split(1), dim=2))
        return latent

    def encode(self, volume: Tensor) -> Tensor:
        """The z (B, latent) of whole volumes (B, 1, D, H, W)."""
        latent: Tensor = self.latent(self.context(volume))
        return latent


class Autoencoder(AutoencodingNetwork):
    """G and E: all that is left after training."""

    config: HAGANConfig
    generator: UnconditionalGenerator
    encoder: VolumeEncoder

    def __init__(self, config: HAGANConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self.generator = UnconditionalGenerator(config, checkpointing=checkpointing)
        self.encoder = VolumeEncoder(config, checkpointing=checkpointing)
