"""U-Net and PatchGAN of pix2pix (Isola et al., CVPR 2017), on slices or on volumes."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
NORMS: dict[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}
"""Instance norm is what the paper's batch norm is at its batch of one; it needs no running
statistics, so a translation depends on nothing but its source."""

WIDEST = 8
"""The widest layers have so many times the channels of the first."""

FIRST_DROPOUT = 4
"""From this level inwards, the innermost apart, the decoder drops values out."""


class UNet(nn.Module):
    """``levels`` halvings by kernel 4, as many doublings by transposed kernel 4, and skips.

    Args:
        axes: 2 for slices, 3 for volumes.
        channels: of the input; the output has one.
        levels: how often sides are halved; they are multiples of 2 ** levels.
        width: channels of the first layer.
        dropout: probability of it in the decoder's inner levels, in training.
    """

    def __init__(
        self, axes: int, channels: int, *, levels: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, WIDEST) for level in range(levels)]
        innermost = levels - 1
        normed = [0 < level < innermost for level in range(levels)]
        convolution, transposed, norm = CONVOLUTIONS[axes], TRANSPOSED[axes], NORMS[axes]
        self.down = nn.ModuleList(
            convolution(a, b, 4, 2, 1, bias=not norms)
            for a, b, norms in zip([channels, *widths], widths, normed, strict=False)
        )
        self.down_norms = nn.ModuleList(
            norm(w, affine=True) if norms else nn.Identity()
            for w, norms in zip(widths, normed, strict=True)
        )
        self.up = nn.ModuleList(
            transposed(
                widths[level] * (1 if level == innermost else 2),
                widths[level - 1] if level else 1,
                *(4, 2, 1),
                bias=level == 0,
            )
            for level in range(levels)
        )
        self.up_norms = nn.ModuleList(
            norm(widths[level - 1], affine=True) if level else nn.Identity()
            for level in range(levels)
        )
        self.dropout = dropout

    def forward(self, source: Tensor) -> Tensor:
        """(B, channels, ...) -> (B, 1, ...) in [-1, 1]."""
        features, skips = source, []
        for level, (layer, norm) in enumerate(zip(self.down, self.down_norms, strict=True)):
            active = functional.leaky_relu(features, 0.2) if level else features
            features = norm(layer(active))
            skips.append(features)
        innermost = len(self.up) - 1
        for level in range(innermost, -1, -1):
            joined = features if level == innermost else torch.cat([skips[level], features], dim=1)
            features = self.up_norms[level](self.up[level](functional.relu(joined)))
            if FIRST_DROPOUT <= level < innermost and self.dropout:
                features = functional.dropout(features, self.dropout, self.training)
        return torch.tanh(features)


class PatchGAN(nn.Module):
    """A discriminator whose every output sees a patch of the image: kernel 4, three halvings.

    Args:
        axes: 2 for slices, 3 for volumes.
        channels: of source and target together.
        width: channels of the first layer.
    """

    def __init__(self, axes: int, channels: int, *, width: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTIONS[axes], NORMS[axes]
        widths = (width, 2 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = [convolution(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            stride = 1 if after == widths[-1] else 2
            layers += [
                convolution(before, after, 4, stride, 1, bias=False),
                norm(after, affine=True),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, convolution(widths[-1], 1, 4, 1, 1))

    def forward(self, pair: Tensor) -> Tensor:
        """(B, channels, ...) -> (B, 1, ...), a logit for every patch."""
        logits: Tensor = self.layers(pair)
        return logits
