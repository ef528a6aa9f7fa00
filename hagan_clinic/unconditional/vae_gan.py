"""``vae-gan``: a variational autoencoder with a discriminator (Larsen et al., ICML 2016), in 3D.

Layers as in the comparison of Sun et al. 2022. The encoder gives a normal distribution of z for
a volume; the generator decodes samples of it and of N(0, I); the discriminator tells both from
real volumes. The encoder learns from the likelihood of the voxels (normal, of unit variance on
[-1, 1]) and the divergence of its distribution from N(0, I); the generator from
``weight_reconstruction`` times the mean squared error and from the discriminator. Larsen et al.
compare features of the discriminator instead of voxels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.batch import VolumeBatch
from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.backbone.optimisation import Update, frozen
from hagan_clinic.backbone.parts import Part
from hagan_clinic.training.config import check_range
from hagan_clinic.unconditional.volume_gan import VolumeConfig, VolumeGAN
from hagan_clinic.unconditional.volumes import VolumeSizes, doubling, halvings

BETAS = (0.9, 0.999)
BASE = 2
"""Voxels a side that the generator starts from and the encoder ends at."""

LARGEST_LOG_VARIANCE = 10.0
"""Beyond it a variance is taken for this one, so that its exponential stays finite."""


class DecoderLayers(nn.Module):
    """z -> 512 channels of 2 cubed, then doublings to 512, 512, 256, 128, 64 and 1.

    Smaller volumes leave out the narrow layers before the last.
    """

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        width = config.width
        wide = [8 * width, 8 * width, 8 * width, 4 * width, 2 * width, width]
        widths = [*wide[: config.doublings + 1], 1]
        self.shape = (widths[0], BASE, BASE, BASE)
        self.project = nn.Linear(config.latent, widths[0] * BASE**3)
        self.first = nn.Sequential(nn.BatchNorm3d(widths[0]), nn.ReLU())
        self.rest = nn.Sequential(
            *(
                layer
                for before, after in pairwise(widths)
                for layer in doubling(before, after, bias=True)
            )
        )

    def forward(self, latent: Tensor) -> Tensor:
        """(B, latent) -> (B, 1, side, side, side) in [-1, 1]."""
        made: Tensor = self.rest(self.first(self.project(latent).unflatten(1, self.shape)))
        return made


class EncoderLayers(nn.Module):
    """Halvings to 32, 64, 128, 256, 512 and 512 channels of 2 cubed, then two heads."""

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        widths = discriminator_widths(config)
        self.shared = nn.Sequential(*halvings([*widths, widths[-1]], norm=True), nn.Flatten())
        features = widths[-1] * BASE**3
        self.mean, self.log_variance = (_head(features, config.latent) for _ in range(2))

    def distribution(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of z, (B, latent) each."""
        features = self.shared(volume)
        return self.mean(features), self.log_variance(features).clamp(max=LARGEST_LOG_VARIANCE)

    def forward(self, volume: Tensor) -> Tensor:
        """The mean, which is the z of a volume after training."""
        mean: Tensor = self.mean(self.shared(volume))
        return mean


def _head(features: int, latent: int) -> nn.Sequential:
    hidden = features // 2
    return nn.Sequential(
        nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, latent)
    )


def discriminator_widths(config: VolumeSizes) -> list[int]:
    """32, 64, 128, 256, 512 channels, as many as lead down to 4 voxels a side."""
    return [config.width // 2 << number for number in range(config.doublings)]


class VolumeDiscriminator(nn.Module):
    """Volumes -> logits (B,): halvings to 4 voxels a side, then a kernel over them all."""

    def __init__(self, config: VolumeSizes, *, norm: bool) -> None:
        super().__init__()
        widths = discriminator_widths(config)
        self.layers = nn.Sequential(*halvings(widths, norm=norm), nn.Conv3d(widths[-1], 1, 4))

    def forward(self, volume: Tensor) -> Tensor:
        """The discriminator's logits."""
        logits: Tensor = self.layers(volume)
        return logits.flatten()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence from N(0, I), of a sample: summed over z, averaged over B."""
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return terms.sum(1).mean() / 2


@dataclass(frozen=True)
class VariationalConfig(VolumeConfig):
    """Settings of ``--model vae-gan``.

    Attributes:
        weight_reconstruction: of the squared error in the generator's loss.
    """

    model: str = "vae-gan"
    weight_reconstruction: float = 10.0
    encoder: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("weight_reconstruction",), zero=True)


class VAEGAN(VolumeGAN):
    """Encoder, generator and discriminator."""

    settings_class = VariationalConfig
    settings: VariationalConfig
    betas = BETAS

    def __init__(self, settings: VariationalConfig) -> None:
        super().__init__(settings, DecoderLayers, EncoderLayers)
        self.discriminator = VolumeDiscriminator(self.config, norm=True)

    @property
    def encoder(self) -> EncoderLayers:
        """The encoder's layers."""
        assert self.autoencoder.encoder is not None
        layers = self.autoencoder.encoder.layers
        assert isinstance(layers, EncoderLayers)
        return layers

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The one discriminator."""
        return {"discriminator": self.discriminator}

    @property
    def makers(self) -> dict[str, nn.Module]:
        """Encoder and generator, each with its own loss."""
        return {"encoder": self.encoder, "generator": self.decoder}

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Update the encoder, then the generator, then the discriminator."""
        given = VolumeBatch.of(batch)
        real = self.config.reduced(given.source_whole)
        drawn, other = self.drawn(given, 0), self.drawn(given, 1)
        terms: dict[str, Tensor] = {}
        with frozen(self.decoder):
            mean, log_variance = self.encoder.distribution(real)
            latent = mean + (log_variance / 2).exp() * drawn
            error = functional.mse_loss(self.decoder(latent), real)
            terms["divergence"] = divergence(mean, log_variance)
            # The negative log-likelihood and the divergence of a sample, over its voxels.
            update("encoder", error / 2 + terms["divergence"] / real[0].numel())
        latent = latent.detach()
        with frozen(self.discriminator):
            back, sampled = self.decoder(latent), self.decoder(other)
            terms["reconstruction"] = functional.mse_loss(back, real)
            terms["generator"] = real_loss(self.discriminator(back)) + real_loss(
                self.discriminator(sampled)
            )
            update(
                "generator",
                self.settings.weight_reconstruction * terms["reconstruction"] + terms["generator"],
            )
        back, sampled = back.detach(), sampled.detach()
        terms["discriminator"] = (
            real_loss(self.discriminator(real))
            + fake_loss(self.discriminator(back))
            + fake_loss(self.discriminator(sampled))
        )
        update("discriminator", terms["discriminator"])
        return {name: term.detach() for name, term in terms.items()}

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """Generator, encoder and discriminator."""
        sides = (1, *(self.config.side,) * 3)
        return [
            Part("G", self.decoder, ((self.config.latent,),), self.decoder),
            Part("E", self.encoder, (sides,), self.encoder.distribution),
            Part("D", self.discriminator, (sides,), self.discriminator),
        ]
