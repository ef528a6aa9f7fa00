"""``wgan-gp``: a 3D Wasserstein GAN with gradient penalty (Gulrajani et al., NeurIPS 2017).

Layers as in the comparison of Sun et al. 2022. The critic takes five steps for one of the
generator. It has no batch norm: the penalty is on the slope of every sample by itself, which a
norm over the batch would mix.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from hagan_clinic.backbone.batch import VolumeBatch
from hagan_clinic.backbone.optimisation import Update, frozen
from hagan_clinic.backbone.parts import Part
from hagan_clinic.unconditional.volume_gan import VolumeConfig, VolumeGAN
from hagan_clinic.unconditional.volumes import VolumeSizes, critic_loss, doubling, halvings

CRITIC_STEPS = 5
BETAS = (0.0, 0.9)


class NoiseLayers(nn.Module):
    """z -> 1024 channels of 4 cubed, then doublings to 512, 256, 128, 64 and 1.

    Smaller volumes leave out the narrow layers before the last.
    """

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        widths = [16 * config.width >> number for number in range(config.doublings)] + [1]
        self.first = nn.Sequential(
            nn.ConvTranspose3d(config.latent, widths[0], 4, bias=False),
            nn.BatchNorm3d(widths[0]),
            nn.ReLU(),
        )
        self.rest = nn.Sequential(
            *(
                layer
                for before, after in pairwise(widths)
                for layer in doubling(before, after, bias=False)
            )
        )

    def forward(self, latent: Tensor) -> Tensor:
        """(B, latent) -> (B, 1, side, side, side) in [-1, 1]."""
        made: Tensor = self.rest(self.first(latent[:, :, None, None, None]))
        return made


class Critic(nn.Module):
    """Volumes (B, 1, side, side, side) -> a number each, (B,), the higher the more real.

    Three halvings to 32, 64 and 128 channels, then, slice by slice, to 256, 512 and 1; the mean
    over the slices that are left.
    """

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        width = config.width // 2
        layers = halvings([width, 2 * width, 4 * width], norm=False)
        before = 4 * width
        # In the plane a volume of 128 is halved twice more, to 4; a smaller one less often.
        for number in range(config.doublings - 3):
            after = 8 * width << number
            layers += [nn.Conv3d(before, after, (1, 4, 4), (1, 2, 2), (0, 1, 1)), nn.LeakyReLU(0.2)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Conv3d(before, 1, (1, 4, 4)))

    def forward(self, volume: Tensor) -> Tensor:
        """The critic's numbers."""
        numbers: Tensor = self.layers(volume)
        return numbers.flatten(1).mean(1)


@dataclass(frozen=True)
class WassersteinConfig(VolumeConfig):
    """Settings of ``--model wgan-gp``; a step is one of the critic."""

    model: str = "wgan-gp"


class WassersteinGAN(VolumeGAN):
    """Generator and critic."""

    settings_class = WassersteinConfig
    betas = BETAS
    cycle = CRITIC_STEPS
    """Steps until every part has been updated."""

    def __init__(self, settings: WassersteinConfig) -> None:
        super().__init__(settings, NoiseLayers)
        self.critic = Critic(self.config)

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The critic."""
        return {"discriminator": self.critic}

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """A step of the critic, and after every fifth one of the generator, on fresh noise."""
        given = VolumeBatch.of(batch)
        real = self.config.reduced(given.source_whole)
        with torch.no_grad():
            fake = self.decoder(self.drawn(given, 0))
        loss, terms = critic_loss(self.critic, real, fake)
        update("discriminator", loss)
        if (step + 1) % CRITIC_STEPS == 0:
            with frozen(self.critic):
                terms["generator"] = -self.critic(self.decoder(self.drawn(given, 1))).mean()
                update("generator", terms["generator"])
        return {name: term.detach() for name, term in terms.items()}

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """Generator and critic."""
        sides = (1, *(self.config.side,) * 3)
        return [
            Part("G", self.decoder, ((self.config.latent,),), self.decoder),
            Part("D", self.critic, (sides,), self.critic),
        ]
