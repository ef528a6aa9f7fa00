"""Slabs: the runs of axial slices that the high-resolution branch sees (S^H and S^L)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LOW_RES_FACTOR = 4
"""The features A and the low-resolution volume X^L are this much coarser than X^H."""


@dataclass(frozen=True)
class Slab:
    """Slices ``start`` to ``start + thickness`` of the D axis, at high resolution.

    Both are multiples of 4, so that S^H (on the image) and S^L (on the features A) select
    exactly the same tissue.

    Raises:
        ValueError: when start or thickness is negative or no multiple of 4.
    """

    start: int
    thickness: int

    def __post_init__(self) -> None:
        if self.start < 0 or self.thickness <= 0:
            raise ValueError(f"a slab needs start >= 0 and thickness > 0, got {self}")
        if self.start % LOW_RES_FACTOR or self.thickness % LOW_RES_FACTOR:
            raise ValueError(f"slab start and thickness must be multiples of 4, got {self}")

    @property
    def stop(self) -> int:
        """The first slice after the slab."""
        return self.start + self.thickness

    def high(self, volume: Tensor) -> Tensor:
        """S^H: the slab of a high-resolution volume (..., D, H, W)."""
        return volume[..., self.start : self.stop, :, :]

    def low(self, features: Tensor) -> Tensor:
        """S^L: the same slab of the features A (..., D/4, H/4, W/4)."""
        first, last = self.start // LOW_RES_FACTOR, self.stop // LOW_RES_FACTOR
        return features[..., first:last, :, :]

    def window(self, depth: int, halo: int) -> "Slab":
        """The slab with ``halo`` real slices on each side, shifted inwards at the true borders.

        Every window of a volume has the same thickness, so a batch can be stacked. The network's
        zero padding falls on true borders, or ``halo`` slices away from the slab.
        """
        thickness = min(self.thickness + 2 * halo, depth)
        start = min(max(self.start - halo, 0), depth - thickness)
        return Slab(start, thickness)


def take_slabs(volumes: Tensor, starts: Tensor | Sequence[int], thickness: int) -> Tensor:
    """One slab a sample: (B, C, D, H, W) and B starts -> (B, C, thickness, H, W).

    Starts on the CPU cost nothing; to read them off a device its work must be waited for.
    """
    first = starts.tolist() if isinstance(starts, Tensor) else list(starts)
    slabs: Tensor = _TakenSlabs.apply(volumes, first, thickness)  # type: ignore[no-untyped-call]  # torch's
    return slabs


class _TakenSlabs(torch.autograd.Function):
    """Slices with one gradient of the whole, where sample by sample each would have its own."""

    @staticmethod
    def forward(ctx: Any, volumes: Tensor, starts: list[int], thickness: int) -> Tensor:
        ctx.shape, ctx.starts = volumes.shape, starts
        samples = zip(volumes, starts, strict=True)
        return torch.stack([volume.narrow(1, start, thickness) for volume, start in samples])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (of_slabs,) = gradients
        whole = of_slabs.new_zeros(ctx.shape)
        for sample, slab, start in zip(whole, of_slabs, ctx.starts, strict=True):
            sample.narrow(1, start, slab.shape[1]).copy_(slab)
        return whole, None, None
