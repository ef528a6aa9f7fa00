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

from hagan_clinic.backbone.batch import PatchBatch
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional.paired import (
    PairedConfig,
    PairedGAN,
    Pieces,
    check_levels,
    same_everywhere,
)
from hagan_clinic.conditional.patches import PatchGrid, pad_volume, place
from hagan_clinic.conditional.settings import presets
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


@dataclass(frozen=True)
class PatchConfig(PairedConfig):
    """Settings of ``--model cgan3d-patch``; the defaults are the paper's.

    Attributes:
        patch: side of the patches that it learns from and translates.
        levels: how often the U-Net halves a patch.
    """

    model: str = "cgan3d-patch"
    weight_l1: float = 300.0
    patch: int = 128
    levels: int = 7

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(width=8, patch=32, levels=5)
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

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts patches."""
        return {"cube": self.patch}


class PatchPairGAN(PairedGAN):
    """The U-Net and a PatchGAN on patches, for training.

    Args:
        settings: sizes, losses and rates among them.
        translator: with the U-Net; one of the settings if None.
    """

    settings_class: ClassVar[type[PatchConfig]] = PatchConfig
    translator: PatchTranslator
    least_squares = True

    def __init__(self, settings: PatchConfig, *, translator: PatchTranslator | None = None) -> None:
        channels, width = len(settings.source), settings.width
        if translator is None:
            translator = PatchTranslator(
                channels, patch=settings.patch, levels=settings.levels, width=width
            )
        super().__init__(settings, translator, PatchGAN(3, channels + 1, width=width))

    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """The batch's patches, which ``data.queue`` draws."""
        cut, side = PatchBatch.of(batch), self.translator.patch
        source = pad_volume(cut.source_patch, side)
        return Pieces(
            source,
            pad_volume(cut.target_patch, side),
            self.translator.unet(source),
            pad_volume(cut.brain_patch, side, 0.0),
        )

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """U-Net and discriminator on a patch."""
        sides, channels = (self.translator.patch,) * 3, len(self.settings.source)
        unet = self.translator.unet
        return [
            Part("G", unet, ((channels, *sides),), unet),
            Part("D", self.discriminator, ((channels + 1, *sides),), self.discriminator),
        ]
