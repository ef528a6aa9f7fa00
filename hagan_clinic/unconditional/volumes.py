"""What the unconditional baselines share: sizes, the generator's frame, blocks, a critic's loss.

They make volumes whole, of 128 voxels a side at most; larger ones are theirs doubled by nearest
neighbour, as in the comparison of Sun et al. 2022.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.synthesising import (
    AutoencodingNetwork,
    EncodingNetwork,
    GeneratingNetwork,
)
from hagan_clinic.errors import InputError

LARGEST = 128
"""Voxels a side of the networks' volumes."""

WEIGHT_PENALTY = 10.0
"""Of the gradient penalty in every critic's loss."""

SIDES = (32, 64, 128, 256)


@dataclass(frozen=True)
class VolumeSizes:
    """Sizes of an unconditional baseline.

    Attributes:
        size: (D, H, W), a cube of 32, 64, 128 or 256 voxels a side.
        latent: length of z.
        width: what every number of channels follows from; 64 is the paper's.

    Raises:
        InputError: sizes that do not fit.
    """

    size: tuple[int, int, int] = (128, 128, 128)
    latent: int = 1000
    width: int = 64

    def __post_init__(self) -> None:
        if len(set(self.size)) != 1 or self.size[0] not in SIDES:
            raise InputError(
                f"the size is {'x'.join(map(str, self.size))}: expected a cube of "
                f"{', '.join(map(str, SIDES))} voxels a side"
            )
        if self.latent < 1:
            raise InputError(f"latent is {self.latent}: expected 1 or more")
        if self.width < 4 or self.width % 4:
            raise InputError(f"width is {self.width}: expected a positive multiple of 4")

    @property
    def side(self) -> int:
        """Voxels a side of the networks' volumes."""
        return min(self.size[0], LARGEST)

    @property
    def doublings(self) -> int:
        """From 4 voxels a side to ``side``: 5 for 128, 4 for 64, 3 for 32."""
        return self.side.bit_length() - 3

    @property
    def multiple(self) -> int:
        """The smallest of the sides."""
        return SIDES[0]

    @property
    def slab(self) -> int:
        """All of a volume is made at a time."""
        return self.size[0]

    @property
    def halo(self) -> int:
        """There are no slabs."""
        return 0

    @property
    def classes(self) -> int:
        """There are none."""
        return 0

    def reduced(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) as the networks see them: averaged where these make less."""
        factor = self.size[0] // self.side
        return functional.avg_pool3d(volumes, factor) if factor > 1 else volumes


class VolumeGenerator(GeneratingNetwork):
    """z to whole volumes; their one slab is the volume, made from z itself.

    Args:
        config: sizes.
        layers: z (B, latent) -> (B, 1, side, side, side) in [-1, 1].
    """

    config: VolumeSizes

    def __init__(self, config: VolumeSizes, layers: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.layers = layers

    def context(self, latent: Tensor) -> Tensor:
        """Z."""
        return latent

    def slabs(self, context: Tensor, starts: Tensor, thickness: int) -> Tensor:
        """The whole volumes."""
        volumes, *_ = self(context)
        assert isinstance(volumes, Tensor)
        return volumes

    def forward(self, latent: Tensor) -> tuple[Tensor]:
        """Z (B, latent) -> X (B, 1, D, H, W)."""
        made: Tensor = self.layers(latent)
        factor = self.config.size[0] // self.config.side
        if factor > 1:
            made = functional.interpolate(made, scale_factor=float(factor), mode="nearest")
        return (made,)


class WholeVolumeEncoder(EncodingNetwork):
    """Whole volumes to z.

    Args:
        config: sizes.
        layers: (B, 1, side, side, side) -> (B, latent).
    """

    def __init__(self, config: VolumeSizes, layers: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.layers = layers

    def encode(self, volume: Tensor) -> Tensor:
        """The z (B, latent) of volumes (B, 1, D, H, W)."""
        latent: Tensor = self.layers(self.config.reduced(volume))
        return latent

    def forward(self, volume: Tensor) -> tuple[Tensor]:
        """What an exported file gives."""
        return (self.encode(volume),)


class VolumeAutoencoder(AutoencodingNetwork):
    """Generator and, if there is one, encoder."""

    config: VolumeSizes
    generator: VolumeGenerator
    encoder: WholeVolumeEncoder | None

    def __init__(
        self,
        config: VolumeSizes,
        generator: VolumeGenerator,
        encoder: WholeVolumeEncoder | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.generator = generator
        self.encoder = encoder


def doubling(in_channels: int, out_channels: int, *, bias: bool) -> list[nn.Module]:
    """Nearest neighbour, a convolution of kernel 3; batch norm and ReLU, or tanh at the end."""
    layers = [
        nn.Upsample(scale_factor=2),
        nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=bias),
    ]
    if out_channels == 1:
        return [*layers, nn.Tanh()]
    return [*layers, nn.BatchNorm3d(out_channels), nn.ReLU()]


def halvings(widths: list[int], *, norm: bool) -> list[nn.Module]:
    """Convolutions of kernel 4 and stride 2, LeakyReLU(0.2); batch norm from the second on."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(zip([1, *widths], widths, strict=False)):
        layers.append(nn.Conv3d(before, after, 4, 2, 1))
        if norm and number:
            layers.append(nn.BatchNorm3d(after))
        layers.append(nn.LeakyReLU(0.2))
    return layers


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """How far the critic's slope is from 1 between real and fake (Gulrajani et al. 2017, eq. 3).

    The slope of a sample is the norm of the gradient over all of its values.
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    slope: Tensor = gradient.flatten(1).float().norm(dim=1)
    return (slope - 1).square().mean()


def critic_loss(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, drift: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a Wasserstein critic under gradient penalty is updated by, and the terms of it.

    Args:
        critic: volumes, or codes, to a number each.
        real: (B, ...).
        fake: (B, ...), detached from what made it.
        drift: weight of the squared numbers of real ones, which keeps them near 0.
    """
    scores = critic(real)
    terms = {
        "wasserstein": scores.mean() - critic(fake).mean(),
        "penalty": gradient_penalty(critic, real, fake),
    }
    loss = WEIGHT_PENALTY * terms["penalty"]
    if drift:
        terms["drift"] = scores.square().mean()
        loss = loss + drift * terms["drift"]
    return loss - terms["wasserstein"], terms
