"""An unconditional baseline in training: what the training loop asks of each of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.optimisation import ParameterGroup
from hagan_clinic.baselines.volumes import (
    VolumeAutoencoder,
    VolumeGenerator,
    VolumeSizes,
    WholeVolumeEncoder,
)


class VolumeGAN(nn.Module, ABC):
    """Networks that stay after training, discriminators that do not, and their optimisers.

    Args:
        config: sizes.
        decoder: the generator's layers.
        encoder: the encoder's, if there is one.
        generator_lr: of the Adam of generator and encoder.
        discriminator_lr: of those of the discriminators.
        seed: of the noise.
    """

    betas: ClassVar[tuple[float, float]]
    """Of every Adam."""

    def __init__(
        self,
        config: VolumeSizes,
        decoder: nn.Module,
        encoder: nn.Module | None = None,
        *,
        generator_lr: float,
        discriminator_lr: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.generator_lr, self.discriminator_lr = generator_lr, discriminator_lr
        self.seed = seed
        self.autoencoder = VolumeAutoencoder(
            config,
            VolumeGenerator(config, decoder),
            None if encoder is None else WholeVolumeEncoder(config, encoder),
        )

    @property
    def decoder(self) -> nn.Module:
        """The generator's layers."""
        return self.autoencoder.generator.layers

    @property
    def module(self) -> nn.Module:
        """All that trains."""
        return self

    @property
    def averaged(self) -> nn.Module:
        """Generator and encoder."""
        return self.autoencoder

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
        rated = [(self.discriminators, self.discriminator_lr), (self.makers, self.generator_lr)]
        return {
            name: ParameterGroup(list(part.parameters()), rate, self.betas)
            for parts, rate in rated
            for name, part in parts.items()
        }

    def drawn(self, batch: Mapping[str, Tensor], draw: int) -> Tensor:
        """The noise z (B, latent) of a batch."""
        latent = noise(self.seed, batch["index"], draw, self.config.latent)
        return latent.to(batch["source_whole"].device)
