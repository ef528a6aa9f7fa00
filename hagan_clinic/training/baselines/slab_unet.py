"""What ``--mode conditional --model slab-unet`` trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hagan_clinic.baselines.paired import PairedGAN, PairedObjective
from hagan_clinic.baselines.slab_unet import HALO, STRIDE, SlabUNetGAN
from hagan_clinic.errors import InputError
from hagan_clinic.training.baselines.paired import PairedConfig, PairedRun, presets


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.halo % 4 or self.halo < 0:
            raise InputError(f"--halo is {self.halo}: expected 0 or a multiple of 4")
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


@dataclass(frozen=True)
class SlabUNetRun(PairedRun):
    """The slab U-Net that a configuration describes."""

    config: SlabUNetConfig

    settings: ClassVar[type[SlabUNetConfig]] = SlabUNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        {"slab": 16, "halo": 4, "discriminator_width": 64}
    )
    halo: ClassVar[int] = HALO
    betas: ClassVar[tuple[float, float]] = (0.0, 0.999)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": self.config.halo}

    def built(self, objective: PairedObjective) -> PairedGAN:
        """The model of this configuration."""
        config = self.config
        return SlabUNetGAN(
            len(config.source),
            objective,
            width=config.width,
            discriminator_width=config.discriminator_width,
            slab=config.slab,
            halo=config.halo,
        )
