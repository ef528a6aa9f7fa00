"""What a conditional model deploys: the network that an exported file holds."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from hagan_clinic.backbone.parts import Part


class TranslatingNetwork(nn.Module):
    """Source sequences (B, C, D, H, W) to the target and the scale of its error.

    ``forward`` gives target and scale, (B, 1, D, H, W) each, and after them the features A of the
    low-resolution branch where there is one.
    """

    free_axes: tuple[int, ...] = (2, 3, 4)
    """Axes of the input that an exported file takes in any size; the others are the training
    box's. D (axis 2) is free where slabs with their halo are what the whole volume is."""


class SlabTranslatingNetwork(TranslatingNetwork, ABC):
    """A translating network in two scales: what ``ConditionalHAGAN`` takes for its generator."""

    halo: int
    """Slices on each side of a slab that its result depends on, a multiple of 4."""

    @abstractmethod
    def context(self, source_low: Tensor) -> Tensor | None:
        """Features (B, A, D/4, H/4, W/4) of the source's X^L; None without that branch."""

    @abstractmethod
    def low_resolution(self, context: Tensor) -> Tensor:
        """The target's X^L (B, 1, D/4, H/4, W/4) from the result of ``context``."""

    @abstractmethod
    def translate(self, source: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Target and scale (B, 1, d, H, W) of a source slab and the slab of its context."""

    def parts(self, size: tuple[int, int, int], seen: tuple[int, ...]) -> list[Part]:
        """Its parts, for volumes of this (D, H, W) and slabs seen (C, d, H, W) of them."""
        return [Part("G", self, ((seen[0], *size),), self)]
