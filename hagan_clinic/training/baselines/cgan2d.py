"""What ``--mode conditional --model cgan2d`` trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hagan_clinic.baselines.cgan2d import SliceGAN
from hagan_clinic.baselines.paired import PairedGAN, PairedObjective
from hagan_clinic.training.baselines.paired import PairedConfig, PairedRun, check_levels, presets
from hagan_clinic.training.config import check_range


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
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    levels: int = 8
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.levels)
        check_range(self, ("dropout",), zero=True, highest=1)


@dataclass(frozen=True)
class SliceRun(PairedRun):
    """The 2D conditional GAN that a configuration describes."""

    config: SliceConfig

    settings: ClassVar[type[SliceConfig]] = SliceConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets({"levels": 5})
    halo: ClassVar[int] = 0

    def built(self, objective: PairedObjective) -> PairedGAN:
        """The model of this configuration."""
        config = self.config
        return SliceGAN(
            len(config.source),
            objective,
            levels=config.levels,
            width=config.width,
            dropout=config.dropout,
        )
