"""What is cut out of a volume: slabs with their halo, or cubes, each a function of its number.

Sample i of volume n is drawn with random numbers of (seed, n, i) alone, so it does not depend on
which worker cut it, or after what.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from itertools import count
from typing import cast

import numpy as np
import torchio as tio

from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab
from hagan_clinic.data.augmented import Cut, RawSample, held_box
from hagan_clinic.data.averages import filled_box
from hagan_clinic.data.moving import Box
from hagan_clinic.volume import Shape


class NumberedSampler(tio.data.sampler.PatchSampler, ABC):
    """Samples of a volume, each a function of the volume's number and its own.

    Args:
        shape: (D, H, W) of the volumes.
        patch: (D, H, W) of what a sample shows.
        seed: Of the run.
    """

    def __init__(self, shape: Shape, patch: Shape, seed: int) -> None:
        super().__init__(patch)
        self.shape = shape
        self.seed = seed

    def _generate_patches(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        numbers = count() if num_patches is None else range(num_patches)
        # To the queue a patch is whatever is taken out of it again.
        return cast(Generator[tio.Subject], (self.sample(subject, number) for number in numbers))

    def sample(self, subject: tio.Subject, number: int) -> RawSample:
        """Sample ``number`` of a subject of the stream."""
        volume, drawn = int(subject.number), subject.drawn
        cut, numbers = self.cut(volume, number)
        held = held_box(cut, drawn, drawn.matrix(self.shape, subject.spacing), self.shape)
        if subject.averages.device.type == "cpu":  # elsewhere it would have to be waited for
            held = filled_box(subject.averages, held)
        if "label" in subject:
            numbers["label"] = int(subject.label)
        if "measurements" in subject:
            numbers["measurements"] = list(subject.measurements)
        # The bytes are copied: a view would keep the whole volume in the queue.
        return RawSample(
            source=held.of(subject.source.data).clone(),
            target=held.of(subject.target.data).clone() if "target" in subject else None,
            brain=held.of(subject.brain.data).clone(),
            averages=subject.averages,
            region=held.of(subject.region.data).clone() if "region" in subject else None,
            held=held,
            shape=self.shape,
            spacing=subject.spacing,
            cut=cut,
            drawn=drawn,
            noise_seed=int(self._random(volume, number, 4).integers(2**63)),
            numbers={"volume": volume, **numbers},
        )

    @abstractmethod
    def cut(self, volume: int, number: int) -> tuple[Cut, dict[str, int | list[float]]]:
        """What sample ``number`` of a volume shows, and the numbers that say where it is."""

    def _random(self, volume: int, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, volume, number, purpose))


class NumberedSlabs(NumberedSampler):
    """Slabs of a volume with their halo, and the low-resolution whole.

    The start r of slab i of volume n is uniform over the multiples of 4 of which a slab lies within
    the volume, as the paper's, drawn from (seed, n, i). So the outermost four slices are in one of
    these slabs, where a central slice is in thickness / 4 of them.

    Args:
        shape: (D, H, W) of the volumes.
        thickness: Slices of a slab, a multiple of 4, at most D.
        halo: Real slices on each side that the network sees and the loss does not.
        seed: Of the run.
        in_turn: Take the disjoint slabs in turn, volume by volume, instead of drawing r.
        whole: Give the whole volume too.
    """

    def __init__(
        self,
        shape: Shape,
        thickness: int,
        halo: int,
        seed: int,
        *,
        in_turn: bool = False,
        whole: bool = False,
    ) -> None:
        window = Slab(0, thickness).window(shape[0], halo)
        super().__init__(shape, (window.thickness, *shape[1:]), seed)
        self.thickness = thickness
        self.halo = halo
        self.in_turn = in_turn
        self.whole = whole

    def cut(self, volume: int, number: int) -> tuple[Cut, dict[str, int | list[float]]]:
        """A slab with its window."""
        slab = Slab(self._start(volume, number), self.thickness)
        window = slab.window(self.shape[0], self.halo)
        seen, learnt = (
            Box((part.start, 0, 0), (part.stop, *self.shape[1:])) for part in (window, slab)
        )
        numbers: dict[str, int | list[float]] = {
            "slab_start": slab.start,
            "window_start": window.start,
        }
        return Cut(seen, learnt, ("window", "slab"), whole=self.whole), numbers

    def _start(self, volume: int, number: int) -> int:
        depth = self.shape[0]
        if self.in_turn:
            return (volume + number) % (depth // self.thickness) * self.thickness
        steps = (depth - self.thickness) // LOW_RES_FACTOR
        return LOW_RES_FACTOR * int(self._random(volume, number, 1).integers(steps + 1))


class NumberedCubes(NumberedSampler):
    """Cubes of a volume, whose place is uniform in it and drawn from (seed, n, i).

    Args:
        shape: (D, H, W) of the volumes.
        side: Of the cubes; they end where a volume is shorter.
        seed: Of the run.
        whole: Give the whole volume too.
    """

    def __init__(self, shape: Shape, side: int, seed: int, *, whole: bool = False) -> None:
        depth, height, width = (min(side, length) for length in shape)
        super().__init__(shape, (depth, height, width), seed)
        self.side = side
        self.whole = whole

    def cut(self, volume: int, number: int) -> tuple[Cut, dict[str, int | list[float]]]:
        """A cube."""
        rng = self._random(volume, number, 1)
        d, h, w = (int(rng.integers(max(side - self.side, 0) + 1)) for side in self.shape)
        sides = zip((d, h, w), self.shape, strict=True)
        d1, h1, w1 = (min(first + self.side, side) for first, side in sides)
        cube = Box((d, h, w), (d1, h1, w1))
        return Cut(cube, cube, ("patch", "patch"), whole=self.whole, low=False), {}


def sampler_of(
    shape: Shape,
    thickness: int,
    seed: int,
    *,
    halo: int = 0,
    in_turn: bool = False,
    whole: bool = False,
    cube: int = 0,
) -> NumberedSlabs | NumberedCubes:
    """What cuts volumes of this (D, H, W): into cubes if they have a side, else into slabs."""
    if cube:
        return NumberedCubes(shape, cube, seed, whole=whole)
    return NumberedSlabs(shape, thickness, halo, seed, in_turn=in_turn, whole=whole)
