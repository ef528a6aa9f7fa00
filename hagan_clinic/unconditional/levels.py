"""Where the slabs of several levels lie: whole at 1/4^K, then slabs of slabs up to full resolution.

With K levels G^A makes the features A of the whole volume at 1/4^K of its resolution. Level k, from
1 to K, makes a slab four times finer than what it is given, out of a slab of that. Every level's
slab has as many slices of its own, so it is a quarter of the one below it: training takes the
memory of one slab a level, whatever the volume's size. K = 1 is the paper.

Counted are the slices of each level: level K has the D slices of the volume, level 0 those of A.
"""

from collections.abc import Sequence

import numpy as np

from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab

REACH = 3
"""Slices beyond what is wanted that a level's two convolutions see."""

IMAGE_REACH = 3
"""Slices beyond its slab that the three convolutions of a level's G^L see."""

MIDDLE_HALO = 8
"""Beside the slab of a level below the finest, for both of them; a multiple of 4."""


def covering(first: int, count: int, depth: int) -> Slab:
    """The slab a level is asked for so that these slices of it are those of the whole volume.

    Its thickness depends on ``count`` alone, so the slabs of a batch can be stacked.

    Args:
        first: the first slice wanted, any number.
        count: how many.
        depth: slices of the level.
    """
    longest = count + 2 * REACH + LOW_RES_FACTOR - 1  # and what rounding the start down adds
    thickness = min(-(-longest // LOW_RES_FACTOR) * LOW_RES_FACTOR, depth)
    start = max(first - REACH, 0) // LOW_RES_FACTOR * LOW_RES_FACTOR
    return Slab(min(start, depth - thickness), thickness)


def windows_below(finest: Sequence[Slab], levels: int, depth: int) -> list[list[Slab]]:
    """What each level makes so that the finest one can make its windows.

    Args:
        finest: a window of level K for each sample, with its halo.
        levels: K.
        depth: slices of level K.

    Returns:
        For level 1 to K one slab a sample; the last ones are ``finest``.
    """
    windows = [list(finest)]
    for _ in range(levels - 1):
        depth //= LOW_RES_FACTOR
        windows.insert(
            0,
            [
                covering(slab.start // LOW_RES_FACTOR, slab.thickness // LOW_RES_FACTOR, depth)
                for slab in windows[0]
            ],
        )
    return windows


def nested_starts(
    seed: int,
    numbers: Sequence[int],
    starts: Sequence[int],
    thickness: int,
    levels: int,
    depth: int,
) -> list[list[int]]:
    """Where each level's slab starts, so that it holds the one of the next finer level.

    Uniform over the multiples of 4 that do, a function of (seed, sample number) alone.

    Args:
        seed: of the run.
        numbers: of the samples.
        starts: r of their slabs at level K.
        thickness: slices of a slab, at every level.
        levels: K.
        depth: slices of level K.

    Returns:
        For level 1 to K one start a sample; the last ones are ``starts``.
    """
    nested = [list(starts)]
    sources = [np.random.default_rng((seed, number)) for number in numbers]
    for _ in range(levels - 1):
        depth //= LOW_RES_FACTOR
        of_level = []
        for start, source in zip(nested[0], sources, strict=True):
            first, count = start // LOW_RES_FACTOR, thickness // LOW_RES_FACTOR
            low = -(-max(first + count - thickness, 0) // LOW_RES_FACTOR)
            high = min(first, depth - thickness) // LOW_RES_FACTOR
            of_level.append(int(source.integers(low, high + 1)) * LOW_RES_FACTOR)
        nested.insert(0, of_level)
    return nested
