"""``cgan2d``: pix2pix on axial slices (Isola et al., CVPR 2017).

Every slice is translated for itself, so neighbouring slices need not agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.batch import TranslationBatch
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional.paired import (
    PairedConfig,
    PairedGAN,
    Pieces,
    check_levels,
    same_everywhere,
)
from hagan_clinic.conditional.settings import presets
from hagan_clinic.conditional.unet import PatchGAN, UNet
from hagan_clinic.training.config import check_range

BACKGROUND = -1.0


class SliceTranslator(TranslatingNetwork):
    """A U-Net on each axial slice.

    In-plane sides are brought to multiples of 2 ** levels with background, and back.

    Args:
        channels: source sequences.
        levels: of the U-Net.
        width: of its first layer.
        dropout: in training.
    """

    free_axes = (2,)

    def __init__(self, channels: int, *, levels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.multiple = 2**levels
        self.unet = UNet(2, channels, levels=levels, width=width, dropout=dropout)

    def slices(self, source: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W) in [-1, 1]."""
        height, width = source.shape[2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        made: Tensor = self.unet(functional.pad(source, padding, value=BACKGROUND))
        return made[:, :, :height, :width]

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Target and the scale of its error, (B, 1, D, H, W) each."""
        made = self.slices(as_slices(source))
        target = made.unflatten(0, (source.shape[0], -1)).movedim(1, 2)
        return target, same_everywhere(target)


def as_slices(volumes: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B * D, C, H, W)."""
    return volumes.movedim(2, 1).flatten(0, 1)


@dataclass(frozen=True)
class SliceConfig(PairedConfig):
    """Settings of ``--model cgan2d``; the defaults are those of pix2pix.

    Attributes:
        slab: neighbouring slices of a volume that a step learns from, a multiple of 4.
        levels: how often the U-Net halves a slice; slices are padded to multiples of 2 ** levels.
        dropout: probability of it in the U-Net's decoder, in training.
    """

    model: str = "cgan2d"
    slab: int = 4
    levels: int = 8
    dropout: float = 0.5

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(width=8, levels=5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.levels)
        check_range(self, ("dropout",), zero=True, highest=1)


class SliceGAN(PairedGAN):
    """The U-Net and a PatchGAN on slices, for training."""

    settings_class: ClassVar[type[SliceConfig]] = SliceConfig

    def __init__(self, settings: SliceConfig) -> None:
        channels, width = len(settings.source), settings.width
        translator = SliceTranslator(
            channels, levels=settings.levels, width=width, dropout=settings.dropout
        )
        super().__init__(settings, translator, PatchGAN(2, channels + 1, width=width))

    def pieces(self, batch: Mapping[str, Tensor]) -> Pieces:
        """The slices of the slab."""
        assert isinstance(self.translator, SliceTranslator)
        cut = TranslationBatch.of(batch)
        source = as_slices(cut.source_window)
        return Pieces(
            source,
            as_slices(cut.target_slab),
            self.translator.slices(source),
            as_slices(cut.brain_slab),
            depth=cut.target_slab.shape[2],
        )

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """U-Net and discriminator on a slice."""
        assert isinstance(self.translator, SliceTranslator)
        channels = len(self.settings.source)
        return [
            Part("G", self.translator.unet, ((channels, *size[1:]),), self.translator.slices),
            Part("D", self.discriminator, ((channels + 1, *size[1:]),), self.discriminator),
        ]
