"""A discriminator of patches: it judges each place of a slab (Isola et al., CVPR 2017).

A few dozen volumes are soon memorised as wholes, but have thousands of places. Places without brain
are the same in all and do not count. The losses are hinges (Lim & Ye 2017); the features of a scan
and of its reconstruction are matched (Wang et al., CVPR 2018).
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.optimisation import Update

SLOPE = 0.2

BRAIN = -0.9
"""The linear model's image is brighter where there is brain."""


class PatchOutput(NamedTuple):
    """What a discriminator of patches gives for slabs.

    Attributes:
        logits: (B, 1, d, h, w) of each scale.
        features: of each layer.
    """

    logits: list[Tensor]
    features: list[Tensor]


class PatchDiscriminator(nn.Module):
    """Slabs (B, 1, d, H, W) -> logits of being real at a quarter of the resolution.

    Those of three layers, which see 10, 18 and 26 voxels a side. No normalisation.

    Args:
        width: channels of the widest layer, a multiple of 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (1, width // 4, width // 2, width, width)
        shapes = ((4, 2), (4, 2), (3, 1), (3, 1))
        self.layers = nn.ModuleList(
            nn.Conv3d(a, b, kernel, stride, padding=1)
            for (a, b), (kernel, stride) in zip(pairwise(widths), shapes, strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv3d(channels, 1, 1) for channels in widths[2:])
        for layer in self.layers:
            assert isinstance(layer, nn.Conv3d) and layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)

    def forward(self, slab: Tensor) -> PatchOutput:
        """Logits and features of slabs in [-1, 1]."""
        features = []
        for layer in self.layers:
            slab = functional.leaky_relu(layer(slab), SLOPE)
            features.append(slab)
        heads = zip(self.heads, features[1:], strict=True)
        return PatchOutput([head(each) for head, each in heads], features)


def update_patch_discriminator(
    discriminator: PatchDiscriminator, real: Tensor, fake: Tensor, linear: Tensor, update: Update
) -> dict[str, Tensor]:
    """Update D by its hinge loss on real and synthetic slabs.

    Args:
        discriminator: of slabs.
        real: (B, 1, d, H, W).
        fake: (n B, 1, d, H, W), the reconstructions of the real ones first.
        linear: the linear model's slabs, as of ``fake``.
        update: of the group ``discriminator``.

    Returns:
        Its loss.
    """
    on_real, on_fake = discriminator(real).logits, discriminator(fake).logits
    loss = torch.stack(
        [_mean_in_brain(functional.relu(1 - each), linear[: len(real)]) for each in on_real]
        + [_mean_in_brain(functional.relu(1 + each), linear) for each in on_fake]
    ).sum()
    update("discriminator", loss)
    return {"discriminator": loss.detach()}


def patch_losses(
    discriminator: PatchDiscriminator, real: Tensor, fake: Tensor, linear: Tensor
) -> tuple[Tensor, Tensor]:
    """The generator's hinge loss, and the feature-matching loss of the reconstructions.

    Args:
        discriminator: frozen.
        real: (B, 1, d, H, W).
        fake: (n B, 1, d, H, W), the reconstructions of the real ones first.
        linear: the linear model's slabs, as of ``fake``.

    Returns:
        Both; features are matched by their L1 distance.
    """
    judged, count = discriminator(fake), len(real)
    with torch.no_grad():
        wanted = discriminator(real).features
    adversarial = -torch.stack([_mean_in_brain(each, linear) for each in judged.logits]).sum()
    distances = [
        _mean_in_brain((found[:count] - each).abs().mean(1, keepdim=True), linear[:count])
        for found, each in zip(judged.features, wanted, strict=True)
    ]
    return adversarial, torch.stack(distances).sum()


def _mean_in_brain(values: Tensor, linear: Tensor) -> Tensor:
    """The mean over places (B, 1, d, h, w) with brain in their own cell of the linear slabs."""
    brain = (linear > BRAIN).to(values)
    inside = functional.adaptive_max_pool3d(brain, values.shape[2:])
    return (values * inside).sum() / inside.sum().clamp_min(1)
