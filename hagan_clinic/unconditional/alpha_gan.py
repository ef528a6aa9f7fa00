"""``alpha-gan``: the 3D alpha-WGAN of Kwon et al., MICCAI 2019.

An encoder and a generator, and two critics under gradient penalty: one of volumes, to whom
samples and reconstructions are both fake, and one of codes, which separates encoded z from N(0, I).
Encoder and generator are trained together by ten times the L1 error of the reconstruction and by
the critics. Layers as in the comparison of Sun et al. 2022; neither critic has a batch norm, as
the penalty is on the slope of every sample by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.batch import VolumeBatch
from hagan_clinic.backbone.optimisation import Update, frozen
from hagan_clinic.backbone.parts import Part
from hagan_clinic.training.config import check_range
from hagan_clinic.unconditional.vae_gan import VolumeDiscriminator, discriminator_widths
from hagan_clinic.unconditional.volume_gan import VolumeConfig, VolumeGAN
from hagan_clinic.unconditional.volumes import VolumeSizes, critic_loss, halvings
from hagan_clinic.unconditional.wgan_gp import NoiseLayers

BETAS = (0.9, 0.999)


class CodeCritic(nn.Module):
    """z (B, latent) -> a number each: 4096, 4096 and 1 units."""

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        units = 64 * config.width
        self.layers = nn.Sequential(
            *(nn.Linear(config.latent, units), nn.LeakyReLU(0.2)),
            *(nn.Linear(units, units), nn.LeakyReLU(0.2)),
            nn.Linear(units, 1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """The critic's numbers, (B,)."""
        numbers: Tensor = self.layers(latent)
        return numbers[:, 0]


class CodeLayers(nn.Module):
    """Volumes -> z: halvings to 4 voxels a side, then a kernel over them all."""

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        widths = discriminator_widths(config)
        self.layers = nn.Sequential(
            *halvings(widths, norm=True), nn.Conv3d(widths[-1], config.latent, 4)
        )

    def forward(self, volume: Tensor) -> Tensor:
        """(B, 1, side, side, side) -> (B, latent)."""
        latent: Tensor = self.layers(volume)
        return latent.flatten(1)


@dataclass(frozen=True)
class AlphaConfig(VolumeConfig):
    """Settings of ``--model alpha-gan``.

    Attributes:
        weight_reconstruction: of the L1 error.
    """

    model: str = "alpha-gan"
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    weight_reconstruction: float = 10.0
    encoder: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("weight_reconstruction",), zero=True)


class AlphaGAN(VolumeGAN):
    """Encoder, generator and the two critics."""

    settings_class = AlphaConfig
    settings: AlphaConfig
    betas = BETAS

    def __init__(self, settings: AlphaConfig) -> None:
        super().__init__(settings, NoiseLayers, CodeLayers)
        self.critic = VolumeDiscriminator(self.config, norm=False)
        self.code_critic = CodeCritic(self.config)

    @property
    def encoder(self) -> nn.Module:
        """The encoder's layers."""
        assert self.autoencoder.encoder is not None
        return self.autoencoder.encoder.layers

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The critics of volumes and of codes."""
        return {"discriminator": self.critic, "code_discriminator": self.code_critic}

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Update encoder and generator, then the critic of volumes, then that of codes."""
        given = VolumeBatch.of(batch)
        real = self.config.reduced(given.source_whole)
        drawn = self.drawn(given, 0)
        terms: dict[str, Tensor] = {}
        with frozen(self.critic, self.code_critic):
            latent = self.encoder(real)
            back, sampled = self.decoder(latent), self.decoder(drawn)
            terms["reconstruction"] = functional.l1_loss(back, real)
            terms["generator"] = -(self.critic(back).mean() + self.critic(sampled).mean())
            terms["code"] = -self.code_critic(latent).mean()
            update(
                "generator",
                self.settings.weight_reconstruction * terms["reconstruction"]
                + terms["generator"]
                + terms["code"],
            )
        latent, back, sampled = latent.detach(), back.detach(), sampled.detach()
        terms["discriminator"] = torch.stack(
            [critic_loss(self.critic, real, fake)[0] for fake in (back, sampled)]
        ).sum()
        update("discriminator", terms["discriminator"])
        terms["code_discriminator"] = critic_loss(self.code_critic, drawn, latent)[0]
        update("code_discriminator", terms["code_discriminator"])
        return {name: term.detach() for name, term in terms.items()}

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """Generator, encoder and critics."""
        sides, code = (1, *(self.config.side,) * 3), (self.config.latent,)
        return [
            Part("G", self.decoder, (code,), self.decoder),
            Part("E", self.encoder, (sides,), self.encoder),
            Part("D", self.critic, (sides,), self.critic),
            Part("code D", self.code_critic, (code,), self.code_critic),
        ]
