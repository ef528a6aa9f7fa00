"""``progressive-gan``: progressive growing (Karras et al., ICLR 2018), in 3D.

Generator and critic begin at 4 voxels a side and are doubled until they reach the full size. A
new size fades in: its image is mixed with the doubled one of the size before. Every size but the
first has two equal parts of the training, fading and settling, and the first has one. Convolutions
have equalised learning rates, the generator normalises each position's channels, the critic
sees how much the volumes of a batch differ. WGAN-GP with a drift term.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.batch import VolumeBatch
from hagan_clinic.backbone.optimisation import Update, frozen
from hagan_clinic.backbone.parts import Part
from hagan_clinic.unconditional.volume_gan import VolumeConfig, VolumeGAN
from hagan_clinic.unconditional.volumes import VolumeSizes, critic_loss

BETAS = (0.0, 0.99)
WEIGHT_DRIFT = 1e-3
BASE = 4


class EqualisedConv(nn.Module):
    """A convolution whose weights are N(0, 1) and scaled by He's constant as they are used."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, padding: int, gain: float = 2.0
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(in_channels, out_channels, kernel, padding=padding)
        nn.init.normal_(self.convolution.weight)
        assert self.convolution.bias is not None
        nn.init.zeros_(self.convolution.bias)
        self.scale = math.sqrt(gain / (in_channels * kernel**3))

    def forward(self, features: Tensor) -> Tensor:
        """(B, in, ...) -> (B, out, ...)."""
        # Scaling what goes in scales the weights, and lets the layer run as itself.
        layer: Tensor = self.convolution(features * self.scale)
        return layer


def pixel_norm(features: Tensor) -> Tensor:
    """Each position's channels brought to a mean square of 1."""
    # A floor: an epsilon as small as this, if added, is dropped from exported files.
    return features * torch.rsqrt(features.square().mean(1, keepdim=True).clamp_min(1e-8))


def _active(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, 0.2)


def _doubled(volume: Tensor) -> Tensor:
    return functional.interpolate(volume, scale_factor=2.0, mode="nearest")


def stage_widths(config: VolumeSizes) -> list[int]:
    """Channels at 4, 8, ... voxels a side: 512, 256, 128, 64, 32 and 16."""
    return [8 * config.width >> number for number in range(config.doublings + 1)]


class ConvolutionPair(nn.Module):
    """Two convolutions of a size, each with LeakyReLU and, in the generator, pixel norm."""

    def __init__(self, first: tuple[int, int], second: tuple[int, int], *, norm: bool) -> None:
        super().__init__()
        self.first, self.second = (EqualisedConv(*widths, 3, 1) for widths in (first, second))
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """(B, in, ...) -> (B, out, ...)."""
        for layer in (self.first, self.second):
            features = _active(layer(features))
            features = pixel_norm(features) if self.norm else features
        return features


class GrowingLayers(nn.Module):
    """The generator: z -> a volume of full size, whose detail is that of the stage it is at.

    ``stage`` (0 for 4 voxels a side) and ``share`` (how much of the newest size is mixed in) are
    part of the weights, so that a checkpoint says how far it had grown.
    """

    stage: Tensor
    share: Tensor

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        widths = stage_widths(config)
        self.first = EqualisedConv(config.latent, widths[0] * BASE**3, 1, 0, gain=2 / BASE**3)
        self.second = EqualisedConv(widths[0], widths[0], 3, 1)
        self.blocks = nn.ModuleList(
            ConvolutionPair((before, after), (after, after), norm=True)
            for before, after in pairwise(widths)
        )
        self.images = nn.ModuleList(EqualisedConv(width, 1, 1, 0, gain=1.0) for width in widths)
        self.register_buffer("stage", torch.zeros((), dtype=torch.long))
        self.register_buffer("share", torch.ones(()))
        self.settled = (0, 1.0)

    def train(self, mode: bool = True) -> "GrowingLayers":
        """Out of training the stage is a number of the network's own, which a graph can hold."""
        if not self.stage.is_meta:  # a summary's buffers have no values
            self.settled = (int(self.stage), float(self.share))
        return super().train(mode)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, latent) -> (B, 1, side, side, side) in about [-1, 1]."""
        grown = (int(self.stage), float(self.share)) if self.training else self.settled
        made = self.at(latent, *grown)
        for _ in range(len(self.blocks) - grown[0]):
            made = _doubled(made)
        return made

    def at(self, latent: Tensor, stage: int, share: float) -> Tensor:
        """The volume of a stage, at its own size."""
        code = pixel_norm(latent)[:, :, None, None, None]
        features = self.first(code).reshape(len(latent), -1, BASE, BASE, BASE)
        features = pixel_norm(_active(self.second(pixel_norm(_active(features)))))
        before = features
        for block in self.blocks[:stage]:
            before, features = features, block(_doubled(features))
        image: Tensor = self.images[stage](features)
        if stage and share < 1:
            coarse = _doubled(self.images[stage - 1](before))
            image = coarse + share * (image - coarse)
        return image


class ShrinkingCritic(nn.Module):
    """The critic: the generator's mirror image, with the spread of the batch at its end."""

    def __init__(self, config: VolumeSizes) -> None:
        super().__init__()
        widths = stage_widths(config)
        self.images = nn.ModuleList(EqualisedConv(1, width, 1, 0) for width in widths)
        self.blocks = nn.ModuleList(
            ConvolutionPair((after, after), (after, before), norm=False)
            for before, after in pairwise(widths)
        )
        self.second = EqualisedConv(widths[0] + 1, widths[0], 3, 1)
        self.first = EqualisedConv(widths[0], widths[0], BASE, 0)
        self.last = EqualisedConv(widths[0], 1, 1, 0, gain=1.0)

    def forward(self, volume: Tensor, stage: int, share: float) -> Tensor:
        """Volumes of a stage's size -> a number each, (B,)."""
        features = _active(self.images[stage](volume))
        for number in range(stage, 0, -1):
            features = functional.avg_pool3d(self.blocks[number - 1](features), 2)
            if number == stage and share < 1:
                coarse = _active(self.images[stage - 1](functional.avg_pool3d(volume, 2)))
                features = coarse + share * (features - coarse)
        features = _active(self.second(with_spread(features)))
        numbers: Tensor = self.last(_active(self.first(features)))
        return numbers.flatten()


def with_spread(features: Tensor) -> Tensor:
    """One more channel: the mean standard deviation over the batch, the same everywhere."""
    variance = (features - features.mean(0)).square().mean(0)
    spread = (variance + 1e-8).sqrt().mean()
    return torch.cat([features, spread.expand(len(features), 1, *features.shape[2:])], dim=1)


def schedule(step: int, steps: int, doublings: int) -> tuple[int, float]:
    """Stage and share of a step: settle at 4, then fade to and settle at every next size."""
    phases = 2 * doublings + 1
    along = phases * step / steps
    phase = min(int(along), phases - 1)
    fading = phase % 2 == 1
    return (phase + 1) // 2, along - phase if fading else 1.0


@dataclass(frozen=True)
class ProgressiveConfig(VolumeConfig):
    """Settings of ``--model progressive-gan``; it grows over ``steps``."""

    model: str = "progressive-gan"


class ProgressiveGAN(VolumeGAN):
    """Growing generator and critic."""

    settings_class = ProgressiveConfig
    betas = BETAS

    def __init__(self, settings: ProgressiveConfig) -> None:
        super().__init__(settings, GrowingLayers)
        self.critic = ShrinkingCritic(self.config)

    @property
    def layers(self) -> GrowingLayers:
        """The generator's layers."""
        assert isinstance(self.decoder, GrowingLayers)
        return self.decoder

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The critic."""
        return {"discriminator": self.critic}

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Grow as far as the step says; update the critic, then the generator."""
        given = VolumeBatch.of(batch)
        stage, share = schedule(step, self.settings.steps, self.config.doublings)
        self.layers.stage.fill_(stage)
        self.layers.share.fill_(share)
        real = self._faded(self.config.reduced(given.source_whole), stage, share)

        def critic(volumes: Tensor) -> Tensor:
            numbers: Tensor = self.critic(volumes, stage, share)
            return numbers

        def made(draw: int) -> Tensor:
            return self.layers.at(self.drawn(given, draw), stage, share)

        with torch.no_grad():
            fake = made(0)
        loss, terms = critic_loss(critic, real, fake, drift=WEIGHT_DRIFT)
        update("discriminator", loss)
        with frozen(self.critic):
            terms["generator"] = -critic(made(1)).mean()
            update("generator", terms["generator"])
        return {name: term.detach() for name, term in terms.items()}

    def _faded(self, volumes: Tensor, stage: int, share: float) -> Tensor:
        """Real volumes at a stage's size, mixed with those of the size before as fakes are."""
        factor = volumes.shape[2] // (BASE << stage)
        small = functional.avg_pool3d(volumes, factor) if factor > 1 else volumes
        if stage and share < 1:
            coarse = _doubled(functional.avg_pool3d(small, 2))
            small = coarse + share * (small - coarse)
        return small

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """Generator and critic, fully grown."""
        last, sides = self.config.doublings, (1, *(self.config.side,) * 3)
        layers, critic = self.layers, self.critic
        return [
            Part("G", layers, ((self.config.latent,),), lambda z: layers.at(z, last, 1.0)),
            Part("D", critic, (sides,), lambda volume: critic(volume, last, 1.0)),
        ]
