"""What a batch shows of its volumes: a slab of each level and the coarsest whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.slab import LOW_RES_FACTOR, take_slabs
from hagan_clinic.unconditional.levels import nested_starts
from hagan_clinic.unconditional.regions import attended_error, attention_of
from hagan_clinic.unconditional.sizes import HAGANConfig


@dataclass(frozen=True, eq=False)
class Targets:
    """Real images of a step, of level 1 to the last.

    Attributes:
        starts: r of each sample at each level.
        slabs: (B, 1, slab, h, w) of each level; the last are X_r^H.
        low: X^L (B, 1, ...), the whole volume at the resolution of A.
        positions: (B,) of each level, r / (D - slab).
        attention: how much voxels of the slabs and, last, of X^L count; None for all alike.
        squared: errors within 1 are squared (Huber) instead of L1.
    """

    starts: list[list[int]]
    slabs: list[Tensor]
    low: Tensor
    positions: list[Tensor]
    attention: list[Tensor] | None
    squared: bool

    @classmethod
    def of(
        cls,
        batch: SynthesisBatch,
        config: HAGANConfig,
        *,
        seed: int,
        weight_region: float,
        squared: bool = False,
    ) -> Self:
        """Those of a batch.

        Args:
            batch: of the model's size.
            config: sizes.
            seed: of where the slabs of coarser levels lie.
            weight_region: how much more than elsewhere an error within the region counts.
            squared: of the errors.
        """
        starts = nested_starts(
            seed, batch.index.tolist(), batch.slab_start.tolist(), config.slab, config.levels,
            config.size[0],
        )  # fmt: skip
        low, *middle = coarser_images(batch.source_low, config.levels)
        slabs = [*_cut(middle, starts, config.slab), batch.source_window]
        positions = [
            torch.tensor(of_level) / max(depth - config.slab, 1)
            for of_level, depth in zip(starts, config.depths, strict=True)
        ]
        attention = None
        if (whole := attention_of(batch.region_whole, weight_region)) is not None:
            lowest, *others = coarser_images(
                functional.avg_pool3d(whole, LOW_RES_FACTOR), config.levels
            )
            attention = [*_cut([*others, whole], starts, config.slab), lowest]
        return cls(starts, slabs, low, positions, attention, squared)

    def error(self, slabs: Sequence[Tensor], low: Tensor | None = None) -> Tensor:
        """Error of the slabs of every level, or of the finest ones, and of X^L if there is one."""
        count = len(slabs)
        pairs = list(zip(slabs, self.slabs[-count:], strict=True))
        weights = [None] * count if self.attention is None else self.attention[-1 - count : -1]
        if low is not None:
            pairs.append((low, self.low))
            weights = [*weights, None if self.attention is None else self.attention[-1]]
        errors = [
            attended_error(*pair, weight, squared=self.squared)
            for pair, weight in zip(pairs, weights, strict=True)
        ]
        return torch.stack(errors).sum()


def coarser_images(low: Tensor, levels: int) -> list[Tensor]:
    """Whole images of level 0 to the one below the finest, from the last, each four times finer."""
    images = [low]
    for _ in range(levels - 1):
        images.insert(0, functional.avg_pool3d(images[0], LOW_RES_FACTOR))
    return images


def _cut(images: Sequence[Tensor], starts: Sequence[list[int]], thickness: int) -> list[Tensor]:
    return [
        take_slabs(image, of_level, thickness)
        for image, of_level in zip(images, starts, strict=False)
    ]
