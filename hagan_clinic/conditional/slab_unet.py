"""``slab-unet``: the slab U-Net of HA-GAN's authors for BRATS, before their hierarchy.

From the early code beside Sun et al. 2022: a U-Net translates a slab of T1 to FLAIR, a
discriminator with spectral normalisation sees the pair and its position. There is no
low-resolution branch and no encoder pair, so nothing but the position relates a slab to the rest
of the head, and only the discriminator sees that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from hagan_clinic.backbone.batch import TranslationBatch
from hagan_clinic.backbone.discriminator import pad_to, smallest_input, spectral_convolution
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.slab import LOW_RES_FACTOR, take_slabs
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional.paired import PairedConfig, PairedGAN, Pieces, same_everywhere
from hagan_clinic.conditional.settings import check_halo, presets
from hagan_clinic.errors import InputError

STRIDE = 8
"""Three halvings: sides, and where windows start, are multiples of it."""

HALO = 24
"""Slices on each side of a slab that its output depends on (23), in multiples of the stride."""


class SlabUNet(TranslatingNetwork):
    """Down 1 -> 64 -> 128 -> 256, kernel 4; 256 -> 256; up by nearest neighbour, with two skips.

    Batch norm is of the batch in training and of its running mean afterwards: then it is the same
    in every position, so slabs with their halo are what the whole volume is.

    Args:
        channels: source sequences.
        width: channels of the first layer.
    """

    def __init__(self, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        self.down1 = _normed(nn.Conv3d(channels, width, 4, 2, 1))
        self.down2 = _normed(nn.Conv3d(width, 2 * width, 4, 2, 1))
        self.down3 = _normed(nn.Conv3d(2 * width, 4 * width, 4, 2, 1))
        self.bottom = _normed(nn.Conv3d(4 * width, 4 * width, 3, padding=1))
        self.up3 = _normed(nn.Conv3d(4 * width, 2 * width, 3, padding=1))
        self.up2 = _normed(nn.Conv3d(4 * width, width, 3, padding=1))
        self.up1 = nn.Conv3d(2 * width, 1, 3, padding=1)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, d, H, W) -> target in [-1, 1] and the scale of its error, (B, 1, d, H, W)."""
        half = self.down1(source)
        quarter = self.down2(half)
        features = self.up3(_doubled(self.bottom(self.down3(quarter))))
        features = self.up2(_doubled(torch.cat([features, quarter], dim=1)))
        target = torch.tanh(self.up1(_doubled(torch.cat([features, half], dim=1))))
        return target, same_everywhere(target)


def _normed(layer: nn.Conv3d) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm3d(layer.out_channels), nn.ReLU())


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


class SlabPairDiscriminator(nn.Module):
    """Slabs (B, channels, d, H, W) and position (B,) -> logits (B,).

    The authors' layers for slabs of 32 x 240 x 240; whatever positions remain before the head are
    averaged, so that any size works.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = (channels, width // 32, width // 16, width // 8)
        beside, no_padding = (0, 1, 1), (0, 0, 0)
        self.layers = nn.ModuleList(
            [
                *(spectral_convolution(a, b) for a, b in pairwise(widths)),
                spectral_convolution(width // 8, width // 4, (4, 4, 4), (1, 2, 2), beside),
                spectral_convolution(width // 4, width // 2, (1, 3, 3), (1, 2, 2), beside),
                spectral_convolution(width // 2, width, (1, 4, 4), (1, 2, 2), beside),
                spectral_convolution(width, width // 4, (1, 4, 4), (1, 1, 1), no_padding),
            ]
        )
        self.hidden = spectral_norm(nn.Linear(width // 4 + 1, width // 8), eps=1e-4)
        self.head = spectral_norm(nn.Linear(width // 8, 1), eps=1e-4)

    def forward(self, pair: Tensor, position: Tensor) -> Tensor:
        """Logits of pairs of slabs whose relative position r / (D - d) is in [0, 1]."""
        features = pair
        for layer in self.layers:
            features = functional.leaky_relu(layer(pad_to(features, smallest_input(layer))), 0.2)
        pooled = features.mean(dim=(2, 3, 4))
        joined = torch.cat([pooled, position.to(pooled, non_blocking=True)[:, None]], dim=1)
        logits: Tensor = self.head(functional.leaky_relu(self.hidden(joined), 0.2))
        return logits[:, 0]


@dataclass(frozen=True)
class SlabUNetConfig(PairedConfig):
    """Settings of ``--model slab-unet``; layers, losses and rates are those of the early code.

    Attributes:
        halo: real slices on each side of a slab, outside the loss, a multiple of 4; the early
            code had none, so that its slabs were padded with zeros in training.
        discriminator_width: channels of the discriminator's widest layer, a multiple of 32.
    """

    model: str = "slab-unet"
    batch_size: int = 4
    generator_lr: float = 1e-4
    discriminator_lr: float = 4e-4
    weight_l1: float = 10.0
    halo: int = 8
    discriminator_width: int = 512

    reach: ClassVar[int] = HALO
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        slab=16, halo=4, width=8, discriminator_width=64
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_halo(self.halo)
        if self.slab % STRIDE:
            raise InputError(
                f"--slab is {self.slab}: expected a multiple of {STRIDE}, as the U-Net halves it "
                "three times"
            )
        if self.discriminator_width <= 0 or self.discriminator_width % 32:
            raise InputError(
                f"discriminator_width is {self.discriminator_width}: expected a positive multiple "
                "of 32"
            )

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": self.halo}


class SlabUNetGAN(PairedGAN):
    """The U-Net and its discriminator, for training.

    Args:
        settings: widths, losses and rates among them.
        translator: another network than the U-Net.
    """

    settings_class: ClassVar[type[SlabUNetConfig]] = SlabUNetConfig
    settings: SlabUNetConfig
    betas = (0.0, 0.999)

    def __init__(
        self, settings: SlabUNetConfig, *, translator: TranslatingNetwork | None = None
    ) -> None:
        channels = len(settings.source)
        super().__init__(
            settings,
            SlabUNet(channels, settings.width) if translator is None else translator,
            SlabPairDiscriminator(channels + 1, settings.discriminator_width),
        )

    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """The slab, translated within its halo."""
        cut = TranslationBatch.of(batch)
        window, target = cut.source_window, cut.target_slab
        thickness = target.shape[2]
        depth = cut.source_low.shape[2] * LOW_RES_FACTOR
        offsets = cut.slab_start - cut.window_start
        made = take_slabs(self.translator(window)[0], offsets, thickness)
        position = cut.slab_start / max(depth - thickness, 1)
        source = take_slabs(window, offsets, thickness)
        return Pieces(source, target, made, cut.brain_slab, (position,))

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """U-Net and discriminator on a slab."""
        depth, height, width = size
        slab, channels = min(self.settings.slab, depth), len(self.settings.source)
        window = (channels, min(slab + 2 * self.settings.halo, depth), height, width)
        pair = (channels + 1, slab, height, width)
        return [
            Part("G", self.translator, (window,), self.translator),
            Part("D", self.discriminator, (pair, ()), self.discriminator),
        ]
