"""Air around a head, so that more or less of it changes nothing.

Zeros are not what a network makes of air: its biases and norms give air features of their own. A
network padded with zeros knows how far a head is from the border, and says something else where
there is more air. Here a second tensor travels with the features: their value far away from
anything, (1 or B, C, 1, 1, 1), to which every layer does what it does to the features. Convolutions
are padded with it, and where there is no head, features are set back to it: otherwise a head would
be felt in the air around it, and what lies beyond the border would be more than air.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

WHOLLY_HEAD = 0.25
"""A coarse voxel counts as head where at least this part of it is."""


def held_to_air(features: Tensor, air: Tensor, region: Tensor) -> Tensor:
    """Features where there is head, and air elsewhere.

    Args:
        features: (B, C, D, H, W).
        air: (1 or B, C, 1, 1, 1).
        region: (B, 1, D, H, W), how much of each voxel is head, 0 to 1.
    """
    head = (region / WHOLLY_HEAD).clamp(max=1.0).to(features)
    return torch.lerp(air.to(features), features, head)


def in_air(convolution: nn.Conv3d, air: Tensor) -> Tensor:
    """What a convolution gives amid air: (N, C, 1, 1, 1) -> (N, out, 1, 1, 1)."""
    weight = convolution.weight.sum((2, 3, 4))
    return functional.linear(air.flatten(1), weight, convolution.bias)[:, :, None, None, None]


class ConvolutionInAir(nn.Conv3d):
    """A convolution of stride 1 beyond whose border lies air instead of zeros."""

    def forward(self, features: Tensor, air: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """It is linear: zeros pad the difference from air, and what air gives is added.

        Args:
            features: (B, C, D, H, W).
            air: (1 or B, C, 1, 1, 1).

        Returns:
            (B, out, D, H, W) and, of the air, (1 or B, out, 1, 1, 1).
        """
        after = in_air(self, air)
        difference = features - air
        if len(after) == 1:  # as a bias it costs nothing
            bias = after.flatten().to(difference)
            return functional.conv3d(difference, self.weight, bias, padding=self.padding), after
        convolved = functional.conv3d(difference, self.weight, None, padding=self.padding)
        return convolved + after, after
