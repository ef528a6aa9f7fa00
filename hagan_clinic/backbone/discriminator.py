"""D^H scores a slab given its position, D^L the low-resolution whole volume.

Layers of the paper for 128 and 256 cubes: LeakyReLU(0.2), no normalisation, spectral
normalisation on every layer. Both average whatever positions remain before their head, so any
slab thickness and in-plane size works.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from hagan_clinic.backbone.deviation import deviation, with_deviation

WIDTH = 512
"""Channels of D^H's widest layer in the paper."""


def spectral_convolution(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int, int] = (4, 4, 4),
    stride: tuple[int, int, int] = (2, 2, 2),
    padding: tuple[int, int, int] = (1, 1, 1),
) -> nn.Module:
    """A convolution under spectral normalisation."""
    return spectral_norm(
        nn.Conv3d(in_channels, out_channels, kernel, stride=stride, padding=padding), eps=1e-4
    )


def pad_to(features: Tensor, smallest: tuple[int, int, int]) -> Tensor:
    """Zero-pad at the far end so that no side is shorter than the next kernel."""
    sizes = zip(smallest, features.shape[2:], strict=True)
    missing = [max(0, least - size) for least, size in sizes]
    if not any(missing):
        return features
    return functional.pad(features, (0, missing[2], 0, missing[1], 0, missing[0]))


def smallest_input(layer: nn.Module) -> tuple[int, int, int]:
    """The smallest input that a convolution takes."""
    assert isinstance(layer, nn.Conv3d) and not isinstance(layer.padding, str)
    d, h, w = (k - 2 * p for k, p in zip(layer.kernel_size, layer.padding, strict=True))
    return d, h, w


class SlabDiscriminator(nn.Module):
    """D^H: (B, channels, thickness, H, W) and position (B,) -> logits (B,).

    Args:
        channels: image channels; source and target together for pairs.
        levels: how many of the strided 4x4x4 convolutions (16, 32, 64 channels) to use:
            3 for 256-voxel sides, 2 for 128, 1 for 64, 0 for 32 (the paper's layers).
        width: channels of the widest layer; the others are parts of it.
        classes: number of class labels of an auxiliary head; 0 for none.
        compares: whether it sees how unlike the slabs of a batch are (``deviation``).
    """

    def __init__(
        self,
        channels: int = 1,
        levels: int = 2,
        *,
        width: int = WIDTH,
        classes: int = 0,
        compares: bool = False,
    ) -> None:
        super().__init__()
        self.compares = compares
        widths = (channels, *(width // 32, width // 16, width // 8)[3 - levels :])
        cubes = [spectral_convolution(a, b) for a, b in pairwise(widths)]
        last = widths[-1]
        flat, halve = (2, 4, 4), (2, 2, 2)
        self.layers = nn.ModuleList(
            [
                *cubes,
                spectral_convolution(last, width // 4, flat, halve, (0, 1, 1)),
                spectral_convolution(width // 4, width // 2, flat, halve, (0, 1, 1)),
                spectral_convolution(width // 2, width, (1, 4, 4), (1, 2, 2), (0, 1, 1)),
                spectral_convolution(width, width // 4, (1, 4, 4), (1, 1, 1), (0, 0, 0)),
            ]
        )
        further = 1 + int(compares)  # the position, and how unlike the slabs are
        self.hidden = spectral_norm(nn.Linear(width // 4 + further, width // 8), eps=1e-4)
        self.head = spectral_norm(nn.Linear(width // 8, 1), eps=1e-4)
        self.class_head = (
            spectral_norm(nn.Linear(width // 8, classes), eps=1e-4) if classes else None
        )

    def forward(self, slab: Tensor, position: Tensor) -> Tensor:
        """Logits of slabs whose relative position r / (D - thickness) is in [0, 1]."""
        return self.logits(slab, position)[0]

    def logits(self, slab: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B,) of being real, and those of the classes (B, classes)."""
        features = slab
        for layer in self.layers:
            features = functional.leaky_relu(layer(pad_to(features, smallest_input(layer))), 0.2)
        pooled = features.mean(dim=(2, 3, 4))
        further = [position.to(pooled, non_blocking=True).unsqueeze(1)]
        if self.compares:
            further.append(deviation(pooled).expand(len(pooled), 1))
        joined = torch.cat([pooled, *further], dim=1)
        hidden = functional.leaky_relu(self.hidden(joined), 0.2)
        logits: Tensor = self.head(hidden)
        labels = hidden[:, :0] if self.class_head is None else self.class_head(hidden)
        return logits.squeeze(1), labels


class LowResolutionDiscriminator(nn.Module):
    """D^L: (B, channels, D/4, H/4, W/4) -> logits (B,).

    Args:
        channels: image channels; source and target together for pairs.
        levels: how many strided convolutions of (32, 64, 128, 256) channels to use: 4 for
            256-voxel sides, 3 for 128, 2 for 64, 1 for 32 (the paper's layers).
        width: twice the channels of the widest layer; the others are parts of it.
        classes: number of class labels of an auxiliary head; 0 for none.
        compares: whether it sees how unlike the volumes of a batch are (``deviation``).
    """

    def __init__(
        self,
        channels: int = 1,
        levels: int = 3,
        *,
        width: int = WIDTH,
        classes: int = 0,
        compares: bool = False,
    ) -> None:
        super().__init__()
        self.compares = compares
        all_widths = (width // 16, width // 8, width // 4, width // 2)
        widths = (channels, *all_widths[4 - levels :])
        self.layers = nn.ModuleList([spectral_convolution(a, b) for a, b in pairwise(widths)])
        last = widths[-1] + int(compares)
        self.head = spectral_convolution(last, 1 + classes, (4, 4, 4), (1, 1, 1), (0, 0, 0))

    def forward(self, image: Tensor) -> Tensor:
        """Logits of whole low-resolution volumes."""
        return self.logits(image)[0]

    def logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B,) of being real, and those of the classes (B, classes)."""
        features = image
        for layer in self.layers:
            features = functional.leaky_relu(layer(pad_to(features, (2, 2, 2))), 0.2)
        if self.compares:
            features = with_deviation(features)
        logits = self.head(pad_to(features, (4, 4, 4))).mean(dim=(2, 3, 4))
        return logits[:, 0], logits[:, 1:]
