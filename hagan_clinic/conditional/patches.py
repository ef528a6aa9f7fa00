"""Overlapping patches that cover a volume, and their translation one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor
from torch.nn import functional

BACKGROUND = -1.0


@dataclass(frozen=True)
class PatchGrid:
    """Patches of one side that cover a box and overlap by half or more.

    A box shorter than a patch is continued with background at its far end.

    Attributes:
        box: (D, H, W) of the volume.
        side: of the patches, a multiple of ``cell``.
        cell: starts are multiples of it.
    """

    box: tuple[int, int, int]
    side: int
    cell: int

    @property
    def padded(self) -> tuple[int, int, int]:
        """(D, H, W) with what is added."""
        d, h, w = (max(side, self.side) for side in self.box)
        return d, h, w

    @property
    def starts(self) -> list[tuple[int, int, int]]:
        """First voxels of the patches."""
        d, h, w = (_starts(length, self.side, self.cell) for length in self.padded)
        return list(product(d, h, w))

    @property
    def cells(self) -> tuple[int, int, int]:
        """How many cells the padded box has along each axis."""
        d, h, w = (length // self.cell for length in self.padded)
        return d, h, w

    def pad(self, volume: Tensor, value: float = BACKGROUND) -> Tensor:
        """(..., D, H, W) with what is added."""
        return pad_volume(volume, self.side, value)

    def cut(self, padded: Tensor) -> Iterator[Tensor]:
        """The patches (..., side, side, side) of a padded volume, in the order of ``starts``."""
        for d, h, w in self.starts:
            yield padded[..., d : d + self.side, h : h + self.side, w : w + self.side]

    def crop(self, padded: Tensor) -> Tensor:
        """The inverse of ``pad``."""
        d, h, w = self.box
        return padded[..., :d, :h, :w]


def pad_volume(volume: Tensor, side: int, value: float = BACKGROUND) -> Tensor:
    """Continue the last three axes at their far ends to ``side`` where they are shorter."""
    d, h, w = (max(side - length, 0) for length in volume.shape[-3:])
    if not (d or h or w):
        return volume
    return functional.pad(volume, (0, w, 0, h, 0, d), value=value)


def place(patch: Tensor, start: Sequence[int], padded: Sequence[int]) -> Tensor:
    """A patch in a volume that is 0 elsewhere."""
    sides = patch.shape[-3:]
    ends = [whole - first - side for whole, first, side in zip(padded, start, sides, strict=True)]
    (d, h, w), (after_d, after_h, after_w) = start, ends
    return functional.pad(patch, (w, after_w, h, after_h, d, after_d))


def _starts(length: int, side: int, cell: int) -> list[int]:
    """Starts along an axis: as few patches as overlap by half, evenly spread."""
    rest = length - side
    gaps = -(-2 * rest // side)
    return [rest * number // gaps // cell * cell for number in range(gaps)] + [rest]
