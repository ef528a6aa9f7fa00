"""``cgan3d-patch``: a 3D conditional GAN on patches (Yu et al., ISBI 2018, without its fusion).

pix2pix with three axes: U-Net and PatchGAN on cubes of the volume, least-squares adversarial
losses, L1 with weight 300. A volume is translated in patches that overlap by half or more, and
where they do, their mean is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional.paired import (
    PairedConfig,
    PairedGAN,
    PairedObjective,
    PairedRun,
    Pieces,
    check_levels,
    presets,
    same_everywhere,
)
from hagan_clinic.conditional.patches import PatchGrid, pad_volume, place
from hagan_clinic.conditional.unet import PatchGAN, UNet
from hagan_clinic.errors import InputError
from hagan_clinic.training.config import TrainingConfig

SMALLEST_PATCH = 32
"""What the PatchGAN's kernels need."""

CELL = 16
"""Starts of patches are multiples of it where it divides the patch."""


class PatchTranslator(TranslatingNetwork):
    """A U-Net on overlapping patches of a volume.

    Its instance norm sees a patch whole, so a slab of the volume is not enough: an exported file
    takes the training box and nothing else.

    Args:
        channels: source sequences.
        patch: side of the patches, a multiple of 2 ** levels.
        levels: of the U-Net.
        width: of its first layer.
    """

    free_axes = ()

    def __init__(self, channels: int, *, patch: int, levels: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.unet = UNet(3, channels, levels=levels, width=width, dropout=0.0)

    def grid(self, source: Tensor) -> PatchGrid:
        """The patches of a volume (B, C, D, H, W)."""
        d, h, w = source.shape[2:]
        return PatchGrid((d, h, w), self.patch, CELL if self.patch % CELL == 0 else 1)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Target and the scale of its error, (B, 1, D, H, W) each."""
        grid = self.grid(source)
        total, covered = torch.zeros(()), torch.zeros(())
        for start, patch in zip(grid.starts, grid.cut(grid.pad(source)), strict=True):
            made = self.unet(patch)
            total = place(made, start, grid.padded) + total.to(made)
            covered = place(torch.ones_like(made), start, grid.padded) + covered.to(made)
        target = grid.crop(total / covered)
        return target, same_everywhere(target)


class PatchPairGAN(PairedGAN):
    """The U-Net and a PatchGAN on patches, for training.

    Args:
        translator: with the U-Net.
        channels: source sequences.
        width: of the PatchGAN's first layer.
        objective: losses and rates.
    """

    def __init__(
        self,
        translator: PatchTranslator,
        channels: int,
        objective: PairedObjective,
        *,
        width: int,
    ) -> None:
        super().__init__(translator, PatchGAN(3, channels + 1, width=width), objective)
        self.channels = channels

    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """The batch's patches, which ``data.queue`` draws."""
        assert isinstance(self.translator, PatchTranslator)
        side = self.translator.patch
        source = pad_volume(batch["source_patch"], side)
        return Pieces(source, pad_volume(batch["target_patch"], side), self.translator.unet(source))

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """U-Net and discriminator on a patch."""
        assert isinstance(self.translator, PatchTranslator)
        sides = (self.translator.patch,) * 3
        unet = self.translator.unet
        return [
            Part("G", unet, ((self.channels, *sides),), unet),
            Part("D", self.discriminator, ((self.channels + 1, *sides),), self.discriminator),
        ]


@dataclass(frozen=True)
class PatchConfig(PairedConfig):
    """Settings of ``--model cgan3d-patch``; the defaults are the paper's.

    Attributes:
        patch: side of the patches that it learns from and translates.
        levels: how often the U-Net halves a patch.
    """

    model: str = "cgan3d-patch"
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    weight_l1: float = 300.0
    patch: int = 128
    levels: int = 7

    smaller: ClassVar[str] = "--set patch=N"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.levels)
        if self.patch < SMALLEST_PATCH or self.patch % 2**self.levels:
            raise InputError(
                f"patch is {self.patch}: expected at least {SMALLEST_PATCH} and a multiple of "
                f"{2**self.levels}, as the U-Net halves it {self.levels} times (levels)"
            )
        if self.slab != TrainingConfig.slab:
            raise InputError(
                f"--slab is {self.slab}: --model {self.model} learns from patches; give their "
                "side with --set patch=N"
            )


@dataclass(frozen=True)
class PatchRun(PairedRun):
    """The 3D conditional GAN on patches that a configuration describes."""

    config: PatchConfig

    settings: ClassVar[type[PatchConfig]] = PatchConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets({"patch": 32, "levels": 5})
    halo: ClassVar[int] = 0
    least_squares: ClassVar[bool] = True

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts patches."""
        return {"cube": self.config.patch}

    def built(self, objective: PairedObjective) -> PairedGAN:
        """The model of this configuration."""
        config, channels = self.config, len(self.config.source)
        translator = PatchTranslator(
            channels, patch=config.patch, levels=config.levels, width=config.width
        )
        return PatchPairGAN(translator, channels, objective, width=config.width)
