"""An unconditional baseline in training: what the training loop asks of each of them."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from hagan_clinic.backbone.batch import VolumeBatch
from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.optimisation import MUON_BETAS, ParameterGroup
from hagan_clinic.errors import InputError
from hagan_clinic.training.config import check_choice
from hagan_clinic.unconditional.settings import SynthesisConfig, presets
from hagan_clinic.unconditional.validation import SynthesisModel
from hagan_clinic.unconditional.volumes import (
    VolumeAutoencoder,
    VolumeGenerator,
    VolumeSizes,
    WholeVolumeEncoder,
)


@dataclass(frozen=True)
class VolumeConfig(SynthesisConfig):
    """Settings of every unconditional baseline.

    Attributes:
        size: (D, H, W), a cube of 32, 64, 128 or 256 voxels a side.
        slab: without a meaning.
        latent: length of z.
        width: what every number of channels follows from, a multiple of 4.
        optimizer: of generator and encoder: ``adam``, the papers', at a constant rate; or ``muon``
            (``training.muon``), at a rate that warms up, then falls along a cosine.
        discriminator_optimizer: the same of discriminators and critics.
    """

    slab: int = 4
    discriminator_lr: float = 1e-4
    ema: float = 0.0
    latent: int = VolumeSizes.latent
    width: int = VolumeSizes.width
    optimizer: str = "adam"
    discriminator_optimizer: str = "adam"

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        cpu={"width": 16}, tiny={"width": 4}
    )
    smaller: ClassVar[str] = "--size"
    encoder: ClassVar[bool] = False
    classes: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("optimizer", "discriminator_optimizer"):
            check_choice(self, name, ("adam", "muon"))
        if self.slab != VolumeConfig.slab:
            raise InputError(
                f"--slab is {self.slab}: --model {self.model} learns from whole volumes; leave the "
                "option out"
            )
        if not self.low_res_branch:
            raise InputError(
                f"--no-low-res-branch: --model {self.model} has none; leave the option out"
            )
        # Batch norm, and the spread of a batch, are of several volumes.
        if self.batch_size < 2:
            raise InputError(
                f"--batch-size is {self.batch_size}: --model {self.model} compares the volumes of "
                "a batch, expected 2 or more"
            )

    def sizes(self) -> VolumeSizes:
        """The networks' sizes.

        Raises:
            InputError: they do not fit.
        """
        assert self.size is not None
        return VolumeSizes(self.size, self.latent, self.width)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs: thin ones beside the whole volume."""
        return {"halo": 0, "whole": True}


class VolumeGAN(SynthesisModel):
    """Networks that stay after training, discriminators that do not, and their optimisers.

    Args:
        settings: sizes and rates among them.
        decoder: the generator's layers, made of the sizes.
        encoder: the encoder's, if there is one.
    """

    betas: ClassVar[tuple[float, float]]
    """Of every Adam, without Muon."""
    autoencoder: VolumeAutoencoder

    def __init__(
        self,
        settings: VolumeConfig,
        decoder: Callable[[VolumeSizes], nn.Module],
        encoder: Callable[[VolumeSizes], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.settings: VolumeConfig = settings
        self.config = config = settings.sizes()
        generator = VolumeGenerator(config, decoder(config))
        self.autoencoder = VolumeAutoencoder(
            config,
            generator,
            None if encoder is None else WholeVolumeEncoder(config, encoder(config)),
        )

    @property
    def decoder(self) -> nn.Module:
        """The generator's layers."""
        return self.autoencoder.generator.layers

    @property
    @abstractmethod
    def discriminators(self) -> Mapping[str, nn.Module]:
        """By the name of its parameter group."""

    @property
    def makers(self) -> Mapping[str, nn.Module]:
        """The same of generator and encoder."""
        return {"generator": self.autoencoder}

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""
        settings = self.settings
        groups = {}
        for parts, rate, optimizer in (
            (self.discriminators, settings.discriminator_lr, settings.discriminator_optimizer),
            (self.makers, settings.generator_lr, settings.optimizer),
        ):
            muon = optimizer == "muon"
            betas = MUON_BETAS if muon else self.betas
            for name, part in parts.items():
                parameters = list(part.parameters())
                groups[name] = ParameterGroup(parameters, rate, betas, decays=muon, muon=muon)
        return groups

    def drawn(self, batch: VolumeBatch, draw: int) -> Tensor:
        """The noise z (B, latent) of a batch."""
        latent = noise(self.settings.seed, batch.index, draw, self.config.latent)
        return latent.to(batch.source_whole.device)
