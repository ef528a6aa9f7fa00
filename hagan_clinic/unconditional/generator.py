"""G^A from noise, G^H, and the generator of the unconditional HA-GAN (Sun et al. 2022, fig. 2).

The layers are those of the paper at 32, 64, 128 and 256 cubes; other sizes follow the same rule.
More than one level of slabs (``levels``) is the paper's outlook, for 512 cubes.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.attention import SelfAttention
from hagan_clinic.backbone.blocks import bounded, normalisation
from hagan_clinic.backbone.chain import Step, chained
from hagan_clinic.backbone.doubling import convolve_doubled
from hagan_clinic.backbone.generator import LowResolutionHead
from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab, take_slabs
from hagan_clinic.backbone.synthesising import GeneratingNetwork
from hagan_clinic.unconditional.components import CELL, Cells, ComponentImage
from hagan_clinic.unconditional.levels import MIDDLE_HALO, windows_below
from hagan_clinic.unconditional.refinement import ImageTrunk, Refinement, start_at_zero
from hagan_clinic.unconditional.sizes import LARGEST_UPSAMPLES, HAGANConfig


class ConvolutionBlock(nn.Module):
    """Convolution 3x3x3, group or position norm, ReLU; after doubling each side if asked to."""

    compiles = ("activate",)

    def __init__(self, in_channels: int, out_channels: int, norm: str, *, double: bool) -> None:
        super().__init__()
        self.doubles = double
        self.convolution = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.norm = normalisation(norm, out_channels)

    def convolve(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, out, D, H, W), or twice as many a side."""
        if self.doubles:
            return convolve_doubled(features, self.convolution)
        convolved: Tensor = self.convolution(features)
        return convolved

    def activate(self, features: Tensor) -> Tensor:
        """Norm and ReLU."""
        # In place: the backward pass of a norm needs what went in, not what came out.
        return functional.relu(self.norm(features), inplace=True)


class NoiseTrunk(nn.Module):
    """G^A: z (B, latent + classes) -> features A (B, 64, D/4, H/4, W/4).

    It always makes the whole volume, so it keeps the paper's group normalisation.
    """

    def __init__(self, config: HAGANConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        width = config.width
        self.shape = (width, *config.base)
        self.project = nn.Linear(config.latent + config.classes, math.prod(self.shape))
        self.attention = SelfAttention(width) if config.attention else None
        widths = (width, width, width // 2, width // 4, config.context_channels)
        self.blocks = nn.ModuleList([ConvolutionBlock(width, width, "group", double=False)])
        for number in range(LARGEST_UPSAMPLES):
            double = number < config.upsamples
            self.blocks.append(
                ConvolutionBlock(widths[number], widths[number + 1], "group", double=double)
            )
        self.latent = config.latent
        self.linear: ComponentImage | None = None
        if config.components:
            channels = config.context_channels
            self.linear = ComponentImage(config.size, config.latent, config.component_factor)
            self.cells = Cells(LOW_RES_FACTOR)
            self.join = ConvolutionBlock(channels + CELL, channels, "position", double=False)

    def forward(self, latent: Tensor) -> Tensor:
        """The features A of a whole volume, with the linear model's image beside them if any."""
        features = self._features(latent)
        if self.linear is None:
            return features
        image = self.cells.apart(self.linear(latent[:, : self.latent]))
        joined = self.join.activate(self.join.convolve(torch.cat([features, image], dim=1)))
        return torch.cat([joined, image], dim=1)

    def _features(self, latent: Tensor) -> Tensor:
        features: Tensor = self.project(latent).reshape(-1, *self.shape)
        blocks = [cast(ConvolutionBlock, block) for block in self.blocks]
        convolutions = [block.convolve for block in blocks]
        activate: list[Step] = [block.activate for block in blocks]
        if self.attention is not None:
            first, attend = activate[0], self.attention
            activate[0] = lambda features: attend(first(features))
        features = chained(features, convolutions, activate[:-1], recompute=self.checkpointing)
        return activate[-1](features)


class HighResolutionHead(nn.Module):
    """G^H: A_r (B, 64, d/4, H/4, W/4) -> X_r^H (B, 1, d, H, W) in [-1, 1].

    Channels beyond ``context_channels`` are the linear model's image, which it is added to, with
    ``refinements`` blocks that see it.
    """

    def __init__(
        self, context_channels: int, norm: str, refinements: int = 0, *, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.channels = context_channels
        self.cells = Cells(LOW_RES_FACTOR)
        self.checkpointing = checkpointing
        half = context_channels // 2
        self.block = ConvolutionBlock(context_channels, half, norm, double=True)
        self.refinement = (
            Refinement(half, refinements, checkpointing=checkpointing) if refinements else None
        )
        self.last = None if refinements else nn.Conv3d(half, 1, 3, padding=1)

    def linear(self, context: Tensor) -> Tensor:
        """The linear model's image, in [-1, 1]."""
        return bounded(self.cells.together(context[:, self.channels :]))

    def forward(self, context: Tensor) -> Tensor:
        """The slab, or the whole volume, that the features show."""
        if self.refinement is not None:
            image = self.linear(context)
            features = self.block.activate(self.block.convolve(context[:, : self.channels]))
            return bounded(image + self.refinement(features, image))
        assert self.last is not None
        last = partial(convolve_doubled, convolution=self.last)
        convolutions: list[Step] = [self.block.convolve, last]
        between = [self.block.activate]
        features, beside = context[:, : self.channels], context[:, self.channels :]
        image = torch.tanh(chained(features, convolutions, between, recompute=self.checkpointing))
        return bounded(self.cells.together(beside) + image) if beside.shape[1] else image


class MiddleLevel(nn.Module):
    """A level below the finest: features four times finer, and an image of them as of G^L.

    Both normalise per position, so slabs are what the whole volume is.
    """

    def __init__(self, channels: int, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.blocks = nn.ModuleList(
            ConvolutionBlock(channels, channels, "position", double=True) for _ in range(2)
        )
        self.image = LowResolutionHead(channels, "position", checkpointing=checkpointing)

    def forward(self, context: Tensor) -> Tensor:
        """(B, C, d, h, w) -> (B, C, 4d, 4h, 4w)."""
        first, second = (cast(ConvolutionBlock, block) for block in self.blocks)
        features = chained(
            context, [first.convolve, second.convolve], [first.activate],
            recompute=self.checkpointing,
        )  # fmt: skip
        return second.activate(features)

    def with_image(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """The features, and the image that they show."""
        features = self(context)
        return features, self.image(features)


class Made(NamedTuple):
    """Features of a level in a slab of it, and where that starts for each sample."""

    features: Tensor
    starts: list[int]

    def taken(self, windows: Sequence[Slab]) -> Tensor:
        """What the next level makes its windows from."""
        starts = [
            window.start // LOW_RES_FACTOR - start
            for window, start in zip(windows, self.starts, strict=True)
        ]
        return take_slabs(self.features, starts, windows[0].thickness // LOW_RES_FACTOR)


class UnconditionalGenerator(GeneratingNetwork):
    """G: z -> A, then A -> X^L and A_r -> X_r^H, or the whole X^H.

    With more than one level, ``middle`` stands between A and G^H.

    Args:
        config: sizes.
        checkpointing: recompute norms and activations in the backward pass, see ``chained``.
    """

    def __init__(self, config: HAGANConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config: HAGANConfig = config
        self.trunk = (
            ImageTrunk(config)
            if config.refinements
            else NoiseTrunk(config, checkpointing=checkpointing)
        )
        channels = config.context_channels
        self.low = LowResolutionHead(channels, "group", checkpointing=checkpointing)
        self.middle = nn.ModuleList(
            MiddleLevel(channels, checkpointing=checkpointing) for _ in range(config.levels - 1)
        )
        self.high = HighResolutionHead(
            channels, config.norm, config.refinements, checkpointing=checkpointing
        )
        if config.components:
            for last in (self.low.layers[6], self.high.last):
                if last is not None:
                    assert isinstance(last, nn.Conv3d)
                    start_at_zero(last)

    def context(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """G^A: z (B, latent) and one-hot labels (B, classes) -> A (B, 64, D/4, H/4, W/4).

        With K levels A has 1/4^K of the resolution.
        """
        joined = latent if label is None else torch.cat([latent, label.to(latent)], dim=1)
        context: Tensor = self.trunk(joined)
        return context

    def slabs(self, context: Tensor, starts: Tensor, thickness: int) -> Tensor:
        """G^H on each sample's slab: A and r (B,) -> X_r^H (B, 1, thickness, H, W)."""
        depth = context.shape[2] * self.config.factor
        slabs = [Slab(start, thickness) for start in starts.tolist()]
        finest = [slab.window(depth, self.config.halo) for slab in slabs]
        made = Made(context, [0] * len(slabs))
        windows = windows_below(finest, self.config.levels, depth)
        for level, of_level in zip(self.middle, windows, strict=False):
            made = Made(level(made.taken(of_level)), [window.start for window in of_level])
        return _inner(self.high(made.taken(finest)), finest, slabs)

    def pyramid(self, context: Tensor, starts: Sequence[Sequence[int]]) -> list[Tensor]:
        """A slab of each level, every one within the one before it, as training sees them.

        Args:
            context: A.
            starts: r of each sample for level 1 to the last, as of ``nested_starts``.

        Returns:
            The slabs' images (B, 1, slab, h, w) of level 1 to the last, which is X_r^H.
        """
        images, made = [], Made(context, [0] * len(context))
        for number, of_level in enumerate(starts):
            slabs = [Slab(start, self.config.slab) for start in of_level]
            last = number == len(self.middle)
            halo = self.config.training_halo if last else MIDDLE_HALO
            windows = [slab.window(self.config.depths[number], halo) for slab in slabs]
            taken = made.taken(windows)
            if last:
                image = self.high(taken)
            else:
                level = cast(MiddleLevel, self.middle[number])
                features, image = level.with_image(taken)
                made = Made(features, [window.start for window in windows])
            images.append(_inner(image, windows, slabs))
        return images

    def linear(self, context: Tensor, starts: Sequence[int]) -> Tensor:
        """The linear model's slabs, as of ``pyramid`` with one level."""
        cells = [start // LOW_RES_FACTOR for start in starts]
        taken = take_slabs(context, cells, self.config.slab // LOW_RES_FACTOR)
        return self.high.linear(taken)

    def without_halo(self, context: Tensor, starts: Sequence[Sequence[int]]) -> list[Tensor]:
        """As ``pyramid``, but zeros stand beside every slab, as an encoder knows its slab alone.

        Args:
            context: A within the slab of the first of these levels, or the features there of the
                level before it.
            starts: r of each sample for that level to the last.

        Returns:
            The images (B, 1, slab, h, w) of these levels.
        """
        images, features = [], context
        levels = cast(list[MiddleLevel], list(self.middle)[len(self.middle) + 1 - len(starts) :])
        for level, of_level, following in zip(levels, starts, starts[1:], strict=False):
            features, image = level.with_image(features)
            images.append(image)
            within = [
                finer // LOW_RES_FACTOR - start
                for finer, start in zip(following, of_level, strict=True)
            ]
            features = take_slabs(features, within, self.config.slab // LOW_RES_FACTOR)
        return [*images, self.high(features)]

    def finest(self, context: Tensor) -> Tensor:
        """The whole volume's features that G^H is given: A itself with one level."""
        for level in self.middle:
            context = level(context)
        return context

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """From z (B, latent + classes) the whole X^H (B, 1, D, H, W) and what G^H makes it of."""
        context = self.finest(self.context(latent))
        return self.high(context), context


def _inner(images: Tensor, windows: Sequence[Slab], slabs: Sequence[Slab]) -> Tensor:
    """Cut the slabs out of the results of their windows."""
    offsets = [slab.start - window.start for slab, window in zip(slabs, windows, strict=True)]
    return take_slabs(images, offsets, slabs[0].thickness)
