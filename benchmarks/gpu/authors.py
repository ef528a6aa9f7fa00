"""The training step of the authors' code (Sun et al. 2022), written anew from its description.

What the step of `hagan-clinic train --mode unconditional` is measured against: the same layers,
doubled grids made whole before their convolution, one order of four Adam updates, no moving
average, no mixed precision, no channels-last. One cross-entropy on averaged logits, lambda 1.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.discriminator import LowResolutionDiscriminator, SlabDiscriminator
from hagan_clinic.backbone.losses import fake_loss, real_loss
from hagan_clinic.unconditional import HAGANConfig


def _layer(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    norm = nn.GroupNorm(math.gcd(8, b), b)
    return nn.Sequential(nn.Conv3d(a, b, kernel, stride, padding=1), norm, nn.ReLU())


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2)


class Generator(nn.Module):
    """G^A, G^H and G^L."""

    def __init__(self, config: HAGANConfig) -> None:
        super().__init__()
        width, last = config.width, config.context_channels
        self.upsamples = config.upsamples
        self.shape = (width, *config.base)
        self.project = nn.Linear(config.latent, width * config.base[0] ** 3)
        widths = (width, width, width, width // 2, width // 4, width // 8)
        self.trunk = nn.ModuleList(_layer(a, b) for a, b in pairwise(widths))
        self.high = nn.ModuleList([_layer(last, last // 2), nn.Conv3d(last // 2, 1, 3, padding=1)])
        self.low = nn.Sequential(
            _layer(last, last // 2),
            _layer(last // 2, last // 4),
            nn.Conv3d(last // 4, 1, 3, padding=1),
            nn.Tanh(),
        )

    def context(self, latent: Tensor) -> Tensor:
        """A of z."""
        features = self.project(latent).view(-1, *self.shape)
        for number, layer in enumerate(self.trunk):
            doubles = 1 <= number <= self.upsamples
            features = layer(_doubled(features) if doubles else features)
        return features

    def slab(self, context: Tensor) -> Tensor:
        """X_r^H of A_r."""
        return torch.tanh(self.high[1](_doubled(self.high[0](_doubled(context)))))

    def forward(self, latent: Tensor, start: int, thickness: int) -> tuple[Tensor, Tensor]:
        """X_r^H and X^L of z, at one r for the batch."""
        context = self.context(latent)
        low = self.low(context)
        return self.slab(context[:, :, start // 4 : (start + thickness) // 4]), low


class Step(nn.Module):
    """All that trains, and one iteration of it.

    Args:
        config: sizes, with the norm ``group``.
    """

    def __init__(self, config: HAGANConfig) -> None:
        super().__init__()
        self.config = config
        half, top = config.context_channels // 2, config.width // 2
        every = (top // 8, top // 4, top // 2, top)
        widths = (config.context_channels, *every[-config.upsamples :])
        parts: dict[str, nn.Module] = {
            "generator": Generator(config),
            "discriminators": nn.ModuleList(
                [
                    SlabDiscriminator(1, config.upsamples - 1, width=config.discriminator_width),
                    LowResolutionDiscriminator(
                        1, config.upsamples, width=config.discriminator_width
                    ),
                ]
            ),
            "slab_encoder": nn.Sequential(
                _layer(1, half, 4, 2), _layer(half, half), _layer(half, 2 * half, 4, 2)
            ),
            "latent_encoder": nn.Sequential(
                *(_layer(a, b, 4, 2) for a, b in pairwise(widths)),
                nn.Conv3d(top, config.latent, config.base),
            ),
        }
        self.parts = nn.ModuleDict(parts)
        self.optimizers = {
            name: torch.optim.Adam(
                part.parameters(), lr=4e-4 if name == "discriminators" else 1e-4, betas=(0.0, 0.999)
            )
            for name, part in self.parts.items()
        }

    def optimized(self) -> Iterator[tuple[list[nn.Parameter], torch.optim.Optimizer]]:
        """Parameters, and what moves them."""
        for name, part in self.parts.items():
            yield list(part.parameters()), self.optimizers[name]

    def step(self, volumes: Tensor, start: int) -> None:
        """One iteration on whole volumes (B, 1, D, H, W), at one r for the batch."""
        thickness, depth = self.config.slab, self.config.size[0]
        generator, discriminators = self.parts["generator"], self.parts["discriminators"]
        low = functional.interpolate(volumes, scale_factor=0.25)
        slab = volumes[:, :, start : start + thickness]
        position = torch.full((len(volumes),), start / (depth - thickness), device=volumes.device)

        def logits(slab: Tensor, low: Tensor) -> Tensor:
            return (discriminators[0](slab, position) + discriminators[1](low)) / 2

        def latent() -> Tensor:
            return torch.randn(len(volumes), self.config.latent, device=volumes.device)

        self._only("discriminators")
        real = real_loss(logits(slab, low))
        fake, fake_low = generator(latent(), start, thickness)
        self._move("discriminators", real + fake_loss(logits(fake, fake_low)))

        self._only("generator")
        fake, fake_low = generator(latent(), start, thickness)
        self._move("generator", real_loss(logits(fake, fake_low)))

        self._only("slab_encoder")
        again = generator.slab(self.parts["slab_encoder"](slab))
        self._move("slab_encoder", functional.l1_loss(again, slab))

        self._only("latent_encoder")
        with torch.no_grad():
            features = torch.cat(
                [self.parts["slab_encoder"](piece) for piece in volumes.split(thickness, 2)], 2
            )
        encoded = self.parts["latent_encoder"](features).flatten(1)
        again, again_low = generator(encoded, start, thickness)
        loss = functional.l1_loss(again, slab) + functional.l1_loss(again_low, low)
        self._move("latent_encoder", loss / 2)

    def _only(self, moved: str) -> None:
        for name, part in self.parts.items():
            part.requires_grad_(name == moved)

    def _move(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()
