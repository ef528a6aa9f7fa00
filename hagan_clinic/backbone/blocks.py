"""Building blocks.

What acts on slabs normalises per position (over channels), never over space, so a slab with
enough halo and the whole volume give the same values (slab-exact inference). What always sees
the whole volume may normalise over a region of it.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.air import ConvolutionInAir, held_to_air, in_air

GROUPS = 8
"""Groups of the paper's group normalisation."""


class PositionNorm(nn.Module):
    """Layer normalisation over the channels of each position, (B, C, D, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each position's channel vector to zero mean and unit variance."""
        channels_last, kind = features.movedim(1, -1), features.dtype
        with half_stays_half(features):
            normal = functional.layer_norm(
                channels_last, self.weight.shape, self.weight.to(kind), self.bias.to(kind)
            )
        return normal.movedim(-1, 1)


class GroupNorm(nn.GroupNorm):
    """PyTorch's, (B, C, D, H, W) -> same, in the precision that it is given."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each group of channels over space."""
        weight, bias = (part.to(features.dtype) for part in (self.weight, self.bias))
        with half_stays_half(features):
            return functional.group_norm(features, self.num_groups, weight, bias, self.eps)


def half_stays_half(features: Tensor) -> AbstractContextManager[Any]:
    """Norms under autocast take half precision to full, which doubles what is kept for backward.

    Their statistics are of full precision either way, and the next convolution halves the result.
    """
    kind = features.device.type
    if features.dtype == torch.float32 or not torch.amp.is_autocast_available(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def normalisation(kind: str, channels: int) -> nn.Module:
    """``position`` (over channels, slab-exact) or ``group`` (the paper's, over space too).

    Where eight groups do not divide the channels, as in narrow networks, there are fewer.
    """
    if kind == "position":
        return PositionNorm(channels)
    return GroupNorm(math.gcd(GROUPS, channels), channels)


class RegionNorm(nn.Module):
    """Group normalisation (Wu & He 2018) whose mean and variance are those of a region.

    Voxels outside it count for nothing, so padding a volume with air changes no value.
    """

    def __init__(self, channels: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, air: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
        """The features and what they are in air, each channel scaled and shifted alike.

        Args:
            features: (B, C, D, H, W).
            air: (1 or B, C, 1, 1, 1).
            region: (B, 1, D, H, W), how much each voxel counts.
        """
        b, c = features.shape[:2]
        values = features.reshape(b, self.groups, c // self.groups, -1)
        weights = region.reshape(b, 1, 1, -1)
        share = weights.mean((2, 3), keepdim=True).clamp_min(1e-6)
        mean = (values * weights).mean((2, 3), keepdim=True) / share
        variance = ((values - mean).square() * weights).mean((2, 3), keepdim=True) / share
        of_channels = (b, self.groups, c // self.groups)
        mean = mean.squeeze(3).expand(of_channels).reshape(b, c)
        variance = variance.squeeze(3).expand(of_channels).reshape(b, c)
        # The weights as they are: an exported file keeps their names.
        scale = torch.rsqrt(variance + 1e-4) * self.weight
        shift = self.bias - mean * scale
        scale, shift = (part.view(b, c, 1, 1, 1) for part in (scale, shift))
        return features * scale + shift, air * scale + shift


class ResidualBlock(nn.Module):
    """x + conv(LeakyReLU(conv(norm(x)))) with 3x3x3 convolutions; starts as the identity.

    Beyond the border lies more of the air that is given with the features (``backbone.air``).

    Args:
        channels: of input and output.
        regional: normalise over a region of the volume instead of per position.
    """

    compiles = ("forward",)
    radius = 2
    """Receptive field on each side, in voxels of the block's own resolution."""

    def __init__(self, channels: int, *, regional: bool = False) -> None:
        super().__init__()
        self.norm = RegionNorm(channels) if regional else PositionNorm(channels)
        self.first = ConvolutionInAir(channels, channels, 3, padding=1)
        self.second = ConvolutionInAir(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(
        self, features: Tensor, air: Tensor, region: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step on features and on what they are in air.

        Args:
            features: (B, C, D, H, W).
            air: (1 or B, C, 1, 1, 1).
            region: (B, 1, D, H, W), how much of each voxel is head: what is outside stays air.
                Needed if regional.

        Returns:
            The same of the block's output.
        """
        if isinstance(self.norm, RegionNorm):
            assert region is not None
            inner, inner_air = self.norm(features, air, region)
        else:
            inner, inner_air = self.norm(features), self.norm(air)
        inner, inner_air = self.first(inner, inner_air)
        inner, inner_air = (functional.leaky_relu(part, 0.1) for part in (inner, inner_air))
        if region is not None:
            inner = held_to_air(inner, inner_air, region)
        inner, inner_air = self.second(inner, inner_air)
        if region is not None:
            inner = held_to_air(inner, inner_air, region)
        return features + inner, air + inner_air


class ResidualBlocks(nn.ModuleList):
    """``count`` residual blocks in a row."""

    def __init__(self, channels: int, count: int, *, regional: bool = False) -> None:
        super().__init__(ResidualBlock(channels, regional=regional) for _ in range(count))

    def forward(
        self, features: Tensor, air: Tensor, region: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As one :class:`ResidualBlock`."""
        for block in self:
            features, air = block(features, air, region)
        return features, air


def space_to_depth(volume: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, 8C, D/2, H/2, W/2): each 2x2x2 cube becomes channels."""
    b, c, d, h, w = volume.shape
    cubes = volume.reshape(b, c, d // 2, 2, h // 2, 2, w // 2, 2)
    return cubes.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, d // 2, h // 2, w // 2)


def depth_to_space(features: Tensor) -> Tensor:
    """(B, 8C, D, H, W) -> (B, C, 2D, 2H, 2W): the inverse of :func:`space_to_depth`."""
    b, c, d, h, w = features.shape
    cubes = features.reshape(b, c // 8, 2, 2, 2, d, h, w)
    return cubes.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, 2 * d, 2 * h, 2 * w)


def downsample(in_channels: int, out_channels: int) -> nn.Conv3d:
    """Halve each side with a 2x2x2 convolution of stride 2."""
    return nn.Conv3d(in_channels, out_channels, 2, stride=2)


class Upsample(nn.Module):
    """Double each side: a 1x1x1 convolution, then nearest neighbour."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, out, 2D, 2H, 2W)."""
        projected: Tensor = self.project(features)
        return functional.interpolate(projected, scale_factor=2.0, mode="nearest")


class ShuffleUpsample(nn.Module):
    """Double each side: a 1x1x1 convolution to eight values a voxel, spread over its cube.

    The eight start out equal (Aitken et al. 2017), so an untrained network draws no grid.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        one = nn.Conv3d(in_channels, out_channels, 1)
        self.project = nn.Conv3d(in_channels, 8 * out_channels, 1)
        for name, value in self.project.named_parameters():
            value.data.copy_(one.get_parameter(name).data.repeat_interleave(8, dim=0))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, out, 2D, 2H, 2W)."""
        return depth_to_space(self.project(features))

    def mean_in_air(self, air: Tensor) -> Tensor:
        """The mean of the eight values that air becomes: (N, C, 1, 1, 1) -> (N, out, 1, 1, 1)."""
        eight = in_air(self.project, air)
        return eight.view(len(eight), -1, 8, 1, 1, 1).mean(2)


def bounded(image: Tensor) -> Tensor:
    """Held to [-1, 1], with a gradient beyond, where the network may have to turn back."""
    return image + (image.clamp(-1, 1) - image).detach()
