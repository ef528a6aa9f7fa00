"""The conditional generator: G^A sees the whole source at low resolution, G^H a slab of it.

Symbols as in Sun et al. 2022: A_r = S^L(A; r), X^L = G^L(A), X_r^H = G^H(A_r). Two things
differ. G^A takes the source's X^L in place of the noise Z, and E^H, which there encodes slabs to
train the encoder E^G (eq. 6 and 7), gives G^H the source's slab.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.air import ConvolutionInAir, held_to_air, in_air
from hagan_clinic.backbone.blocks import (
    ResidualBlock,
    ResidualBlocks,
    ShuffleUpsample,
    Upsample,
    downsample,
    space_to_depth,
)
from hagan_clinic.backbone.generator import CONTEXT_CHANNELS, LowResolutionHead
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.backbone.translating import SlabTranslatingNetwork

SIDE_MULTIPLE = 16
"""Sides of the input are multiples of this: G^A halves the low-resolution volume twice."""

PATTERN_REACH = 8
"""Voxels from the border of the input within which a result depends on where the border lies."""

InAir = tuple[Tensor, Tensor]
"""Features (B, C, d, h, w), and what they are in air (1 or B, C, 1, 1, 1)."""

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
    """G^A: source X^L (B, C, D/4, H/4, W/4) -> features A (B, 64, D/4, H/4, W/4), and air's.

    U-shaped, down to 1/16 of the full resolution, so that every feature has seen the head. It
    always sees the whole volume, so it normalises over the head: all that is not background.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        quarter, eighth, sixteenth = config.trunk_widths
        down4, down8, bottom, up8, up4 = config.trunk_blocks
        self.stem = nn.Conv3d(config.source_channels, quarter, 3, padding=1)
        self.down4 = ResidualBlocks(quarter, down4, regional=True)
        self.to8 = downsample(quarter, eighth)
        self.down8 = ResidualBlocks(eighth, down8, regional=True)
        self.to16 = downsample(eighth, sixteenth)
        self.bottom = ResidualBlocks(sixteenth, bottom, regional=True)
        self.from16 = Upsample(sixteenth, eighth)
        self.up8 = ResidualBlocks(eighth, up8, regional=True)
        self.from8 = Upsample(eighth, quarter)
        self.up4 = ResidualBlocks(quarter, up4, regional=True)

    def forward(self, source_low: Tensor) -> tuple[Tensor, Tensor]:
        """The features A of the whole volume, and what they are in air, (B, 64, 1, 1, 1)."""
        source = source_low + 1  # 0 in air
        head4 = source.amax(dim=1, keepdim=True).clamp(0.0, HEAD_FROM) / HEAD_FROM
        head8 = functional.avg_pool3d(head4, 2)
        head16 = functional.avg_pool3d(head8, 2)
        air4 = in_air(self.stem, source.new_zeros(1, source.shape[1]))
        at4 = held_to_air(self.stem(source), air4, head4)
        at4, air4 = self.down4(at4, air4, head4)
        at8, air8 = self.down8(self.to8(at4), in_air(self.to8, air4), head8)
        at16, air16 = self.bottom(self.to16(at8), in_air(self.to16, air8), head16)
        at8, air8 = at8 + self.from16(at16), air8 + in_air(self.from16.project, air16)
        at8, air8 = self.up8(at8, air8, head8)
        at4, air4 = at4 + self.from8(at8), air4 + in_air(self.from8.project, air8)
        at4, air4 = self.up4(at4, air4, head4)
        return at4, air4.expand(len(at4), -1, -1, -1, -1)


def near_head(source: Tensor) -> Tensor:
    """Quarter-resolution voxels in or beside the head: (B, C, d, H, W) -> (B, 1, d/4, H/4, W/4)."""
    brightest = (source + 1).amax(dim=1, keepdim=True)
    in_head = (functional.max_pool3d(brightest, LOW_RES_FACTOR) > 0).to(source)
    return functional.max_pool3d(in_head, 3, stride=1, padding=1)


class SourceEncoder(nn.Module):
    """E^H: source slab (B, C, d, H, W) -> features at half and at quarter resolution."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.stem = nn.Conv3d(8 * config.source_channels, config.half_width, 3, padding=1)
        self.at_half = ResidualBlocks(config.half_width, config.high_blocks)
        self.down = downsample(config.half_width, config.quarter_width)
        self.at_quarter = ResidualBlocks(config.quarter_width, config.high_blocks)

    def forward(self, source: Tensor, near: Tensor) -> tuple[InAir, InAir]:
        """Features at both resolutions, each with what they are in air.

        Args:
            source: (B, C, d, H, W).
            near: (B, 1, d/4, H/4, W/4), 1 in and at the head: elsewhere the second are air.

        Returns:
            (B, half_width, d/2, H/2, W/2) and (B, quarter_width, d/4, H/4, W/4).
        """
        stacked = space_to_depth(source + 1)
        air = in_air(self.stem, stacked.new_zeros(1, stacked.shape[1]))
        half, half_air = self.at_half(self.stem(stacked), air)
        air = in_air(self.down, half_air)
        quarter = held_to_air(self.down(half), air, near)
        quarter, air = self.at_quarter(quarter, air, near)
        return (half, half_air), (quarter, air)


class ConditionalHighResolutionHead(nn.Module):
    """G^H: A_r and the features of E^H -> target slab and its Laplace scale, (B, 1, d, H, W).

    The last step adds the source's own voxels to the features, so that detail and the voxelwise
    part of the contrast need not pass through half resolution. Above quarter resolution air is no
    longer one value but a pattern, as each feature becomes eight voxels, and the padding is its
    mean: what lies within ``PATTERN_REACH`` voxels of the border depends a little on the border.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.quarter_width
        inputs = width + (config.trunk_widths[0] if config.low_res_branch else 0)
        self.fuse = nn.Conv3d(inputs, width, 1)
        self.at_quarter = ResidualBlocks(width, config.high_blocks)
        self.to_half = ShuffleUpsample(width, config.half_width)
        self.at_half = ResidualBlocks(config.half_width, config.high_blocks)
        self.to_full = ShuffleUpsample(config.half_width, config.full_width)
        self.from_source = nn.Conv3d(config.source_channels, config.full_width, 1)
        self.smooth = ConvolutionInAir(config.full_width, config.full_width, 3, padding=1)
        self.head = nn.Conv3d(config.full_width, 2, 1)

    def forward(
        self, source: Tensor, near: Tensor, half: InAir, quarter: InAir, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Target in [-1, 1] and scale > 0 (in the same units).

        Args:
            source: (B, C, d, H, W).
            near: as E^H takes it.
            half: of E^H.
            quarter: of E^H.
            context: A_r, and what A is in air as further channels.
        """
        features, air = quarter
        if context is not None:
            low, low_air = context.chunk(2, dim=1)
            features = torch.cat([low, features], dim=1)
            air = torch.cat([low_air[..., :1, :1, :1], air.expand(len(low), -1, -1, -1, -1)], dim=1)
        air = in_air(self.fuse, air)
        features = held_to_air(self.fuse(features), air, near)
        features, air = self.at_quarter(features, air, near)
        features, air = self.to_half(features), self.to_half.mean_in_air(air)
        features, air = self.at_half(half[0] + features, half[1] + air)
        features, air = self.to_full(features), self.to_full.mean_in_air(air)
        features = features + self.from_source(source + 1)
        assert self.from_source.bias is not None
        air = air + self.from_source.bias.view(1, -1, 1, 1, 1)
        features, air = (functional.leaky_relu(part, 0.1) for part in (features, air))
        features, _ = self.smooth(features, air)
        image, log_scale = self.head(functional.leaky_relu(features, 0.1)).chunk(2, dim=1)
        return torch.tanh(image), torch.exp(log_scale.clamp(-6.0, 2.0) - 1.5)


class ConditionalGenerator(SlabTranslatingNetwork):
    """Source sequences to target sequence: whole volume, or slab by slab with equal result.

    Sources are in [-1, 1] with background at -1. What lies beyond the border is air as it is
    within (``backbone.air``): a head with more air around it gives the same, but for what is
    nearer than ``PATTERN_REACH`` voxels to the border.
    """

    revision = 2
    """1 padded with zeros; weights trained so give something else here."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.halo = config.halo
        self.encoder = SourceEncoder(config)
        self.high = ConditionalHighResolutionHead(config)
        if config.low_res_branch:
            self.trunk = ContextTrunk(config)
            self.low = LowResolutionHead(context_channels=config.trunk_widths[0])

    def context(self, source_low: Tensor) -> Tensor | None:
        """G^A: X^L (B, C, D/4, H/4, W/4) -> A and what A is in air (B, 2 x 64, D/4, H/4, W/4).

        The second half is the same everywhere: slabs are padded with it. None without the branch.
        """
        if not self.config.low_res_branch:
            return None
        features, air = self.trunk(source_low)
        return torch.cat([features, air.expand_as(features)], dim=1)

    def low_resolution(self, context: Tensor) -> Tensor:
        """G^L: what ``context`` gives -> the target's X^L (B, 1, D/4, H/4, W/4)."""
        image: Tensor = self.low(context.chunk(2, dim=1)[0])
        return image

    def translate(self, source: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """E^H and G^H: a source slab (B, C, d, H, W) and its S^L(A) -> target, scale."""
        near = near_head(source)
        half, quarter = self.encoder(source, near)
        target, scale = self.high(source, near, half, quarter, context)
        return target, scale

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """Whole volumes (B, C, D, H, W), sides multiples of 16 -> target, scale, context."""
        if not self.config.low_res_branch:
            return self.translate(source, None)
        context = self.context(functional.avg_pool3d(source, LOW_RES_FACTOR))
        assert context is not None
        return (*self.translate(source, context), context)

    def parts(self, size: tuple[int, int, int], seen: tuple[int, ...]) -> list[Part]:
        """G^A and G^L for volumes of this (D, H, W), E^H and G^H for slabs seen (C, d, H, W)."""
        config = self.config
        low = tuple(side // LOW_RES_FACTOR for side in size)
        half, quarter = (
            (width, *(side // by for side in seen[1:]))
            for width, by in ((config.half_width, 2), (config.quarter_width, 4))
        )
        given, parts = [seen, half, quarter], []
        if config.low_res_branch:
            context = (config.trunk_widths[0], *low)
            parts += [
                Part("G^A", self.trunk, ((seen[0], *low),), self.trunk),
                Part("G^L", self.low, (context,), self.low),
            ]
            given.append((2 * context[0], *quarter[1:]))

        def encode(source: Tensor) -> tuple[InAir, InAir]:
            result: tuple[InAir, InAir] = self.encoder(source, near_head(source))
            return result

        def high(
            source: Tensor, half: Tensor, quarter: Tensor, context: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            half_air, air = (part[:1, :, :1, :1, :1] for part in (half, quarter))
            result: tuple[Tensor, Tensor] = self.high(
                source, near_head(source), (half, half_air), (quarter, air), context
            )
            return result

        return [
            *parts,
            Part("E^H", self.encoder, (seen,), encode),
            Part("G^H", self.high, tuple(given), high),
        ]
