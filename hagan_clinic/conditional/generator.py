"""The conditional generator: G^A sees the whole source at low resolution, G^H a slab of it.

Symbols as in Sun et al. 2022: A_r = S^L(A; r), X^L = G^L(A), X_r^H = G^H(A_r). Two things
differ. G^A takes the source's X^L in place of the noise Z, and E^H, which there encodes slabs to
train the encoder E^G (eq. 6 and 7), gives G^H the source's slab.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.blocks import (
    ResidualBlock,
    ShuffleUpsample,
    Upsample,
    downsample,
    residual_blocks,
    space_to_depth,
)
from hagan_clinic.backbone.generator import CONTEXT_CHANNELS, LowResolutionHead
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.backbone.translating import TranslatingNetwork

SIDE_MULTIPLE = 16
"""Sides of the input are multiples of this: G^A halves the low-resolution volume twice."""

HEAD_FROM = 0.05
"""Low-resolution voxels this far above the background are wholly head, of a range of 2."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Widths and depths of the conditional generator.

    Attributes:
        source_channels: source sequences, stacked as channels.
        full_width: channels at full resolution (the end of G^H).
        half_width: channels at half resolution (E^H, G^H).
        quarter_width: channels at quarter resolution (E^H, G^H).
        high_blocks: residual blocks of E^H and of G^H at each of the two resolutions.
        trunk_widths: channels of G^A at 1/4, 1/8 and 1/16 resolution.
        trunk_blocks: residual blocks of G^A at 1/4 and 1/8 on the way down, at 1/16, and at
            1/8 and 1/4 on the way up.
        low_res_branch: False leaves G^A and G^L out: the slab-only network of the ablation.
    """

    source_channels: int = 1
    full_width: int = 8
    half_width: int = 24
    quarter_width: int = 64
    high_blocks: int = 1
    trunk_widths: tuple[int, int, int] = (CONTEXT_CHANNELS, 64, 96)
    trunk_blocks: tuple[int, int, int, int, int] = (0, 2, 2, 2, 0)
    low_res_branch: bool = True

    @property
    def halo(self) -> int:
        """Slices on each side of a slab that its output depends on, a multiple of 4.

        From the output inwards: one convolution at full resolution, residual blocks at half and
        quarter resolution in G^H, then at quarter and half in E^H, and its stem. A slab's edge
        lies on whole quarter-resolution voxels.
        """
        blocks = ResidualBlock.radius * self.high_blocks
        half = 1 + blocks
        quarter = -(-half // 2) + 2 * blocks
        reach = 4 * quarter + 2 * (blocks + 1)
        return -(-reach // LOW_RES_FACTOR) * LOW_RES_FACTOR


class ContextTrunk(nn.Module):
    """G^A: source X^L (B, C, D/4, H/4, W/4) -> features A (B, 64, D/4, H/4, W/4).

    U-shaped, down to 1/16 of the full resolution, so that every feature has seen the head. It
    always sees the whole volume, so it normalises over the head: all that is not background.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        quarter, eighth, sixteenth = config.trunk_widths
        down4, down8, bottom, up8, up4 = config.trunk_blocks
        self.stem = nn.Conv3d(config.source_channels, quarter, 3, padding=1)
        self.down4 = _regional_blocks(quarter, down4)
        self.to8 = downsample(quarter, eighth)
        self.down8 = _regional_blocks(eighth, down8)
        self.to16 = downsample(eighth, sixteenth)
        self.bottom = _regional_blocks(sixteenth, bottom)
        self.from16 = Upsample(sixteenth, eighth)
        self.up8 = _regional_blocks(eighth, up8)
        self.from8 = Upsample(eighth, quarter)
        self.up4 = _regional_blocks(quarter, up4)

    def forward(self, source_low: Tensor) -> Tensor:
        """The features A of the whole volume."""
        brightest = (source_low + 1).amax(dim=1, keepdim=True)
        head4 = brightest.clamp(0.0, HEAD_FROM) / HEAD_FROM
        head8 = functional.avg_pool3d(head4, 2)
        head16 = functional.avg_pool3d(head8, 2)
        at4 = _through(self.down4, self.stem(source_low + 1), head4)
        at8 = _through(self.down8, self.to8(at4), head8)
        at16 = _through(self.bottom, self.to16(at8), head16)
        at8 = _through(self.up8, at8 + self.from16(at16), head8)
        return _through(self.up4, at4 + self.from8(at8), head4)


def _regional_blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(channels, regional=True) for _ in range(count))


def _through(blocks: nn.ModuleList, features: Tensor, region: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, region)
    return features


class SourceEncoder(nn.Module):
    """E^H: source slab (B, C, d, H, W) -> features at half and at quarter resolution."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.stem = nn.Conv3d(8 * config.source_channels, config.half_width, 3, padding=1)
        self.at_half = residual_blocks(config.half_width, config.high_blocks)
        self.down = downsample(config.half_width, config.quarter_width)
        self.at_quarter = residual_blocks(config.quarter_width, config.high_blocks)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, half_width, d/2, H/2, W/2) and (B, quarter_width, d/4, H/4, W/4)."""
        half = self.at_half(self.stem(space_to_depth(source + 1)))
        return half, self.at_quarter(self.down(half))


class HighResolutionHead(nn.Module):
    """G^H: A_r and the features of E^H -> target slab and its Laplace scale, (B, 1, d, H, W).

    The last step adds the source's own voxels to the features, so that detail and the voxelwise
    part of the contrast need not pass through half resolution.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.quarter_width
        inputs = width + (config.trunk_widths[0] if config.low_res_branch else 0)
        self.fuse = nn.Conv3d(inputs, width, 1)
        self.at_quarter = residual_blocks(width, config.high_blocks)
        self.to_half = ShuffleUpsample(width, config.half_width)
        self.at_half = residual_blocks(config.half_width, config.high_blocks)
        self.to_full = ShuffleUpsample(config.half_width, config.full_width)
        self.from_source = nn.Conv3d(config.source_channels, config.full_width, 1)
        self.smooth = nn.Conv3d(config.full_width, config.full_width, 3, padding=1)
        self.head = nn.Conv3d(config.full_width, 2, 1)

    def forward(
        self, source: Tensor, half: Tensor, quarter: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Target in [-1, 1] and scale > 0 (in the same units)."""
        inputs = quarter if context is None else torch.cat([context, quarter], dim=1)
        features = self.at_quarter(self.fuse(inputs))
        features = self.at_half(half + self.to_half(features))
        features = self.to_full(features) + self.from_source(source + 1)
        features = functional.leaky_relu(self.smooth(functional.leaky_relu(features, 0.1)), 0.1)
        image, log_scale = self.head(features).chunk(2, dim=1)
        return torch.tanh(image), torch.exp(log_scale.clamp(-6.0, 2.0) - 1.5)


class ConditionalGenerator(TranslatingNetwork):
    """Source sequences to target sequence: whole volume, or slab by slab with equal result.

    Sources are in [-1, 1] with background at -1. Inside, they are shifted so that background
    is 0, which is what convolutions pad with: air beyond the border looks like air within it.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SourceEncoder(config)
        self.high = HighResolutionHead(config)
        if config.low_res_branch:
            self.trunk = ContextTrunk(config)
            self.low = LowResolutionHead(context_channels=config.trunk_widths[0])

    def context(self, source_low: Tensor) -> Tensor | None:
        """G^A: (B, C, D/4, H/4, W/4) -> A (B, 64, D/4, H/4, W/4), None without the branch."""
        return self.trunk(source_low) if self.config.low_res_branch else None

    def translate(self, source: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """E^H and G^H: a source slab (B, C, d, H, W) and its S^L(A) -> target, scale."""
        half, quarter = self.encoder(source)
        target, scale = self.high(source, half, quarter, context)
        return target, scale

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """Whole volumes (B, C, D, H, W), sides multiples of 16 -> target, scale, A."""
        if not self.config.low_res_branch:
            return self.translate(source, None)
        context = self.context(functional.avg_pool3d(source, LOW_RES_FACTOR))
        assert context is not None
        return (*self.translate(source, context), context)
