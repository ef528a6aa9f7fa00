"""The slab plan: into which slabs a volume is cut so that its translation fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from hagan_clinic.errors import DeviceError
from hagan_clinic.runtime.memory import size_text

STEP = 4
"""Starts of slabs and windows are multiples of this: there image and `context` are in step."""


@dataclass(frozen=True)
class PlannedSlab:
    """Slices [start, stop) of the D axis, and the window [first, last) they are computed from."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def inside(self) -> slice:
        """Where the slab lies in its window."""
        return slice(self.start - self.first, self.stop - self.first)


@dataclass(frozen=True)
class SlabPlan:
    """Slabs that cover a volume.

    Attributes:
        depth: Slices of the volume, a multiple of `STEP`.
        thickness: Slices of each slab but perhaps the last, a multiple of `STEP`.
        halo: Slices on each side that a slab sees, a multiple of `STEP`; true borders have none.
    """

    depth: int
    thickness: int
    halo: int

    @property
    def count(self) -> int:
        """Number of slabs."""
        return -(-self.depth // self.thickness)

    @property
    def is_whole(self) -> bool:
        """Whether one slab is the volume."""
        return self.thickness >= self.depth

    @property
    def window(self) -> int:
        """Slices of the thickest window."""
        return min(self.thickness + 2 * self.halo, self.depth)

    def __iter__(self) -> Iterator[PlannedSlab]:
        bounds = [*range(0, self.depth, self.thickness), self.depth]
        for start, stop in pairwise(bounds):
            yield PlannedSlab(
                start, stop, max(start - self.halo, 0), min(stop + self.halo, self.depth)
            )


@dataclass(frozen=True)
class MemoryModel:
    """What a network takes, in bytes.

    Attributes:
        voxel: For each voxel of a window, at peak.
        kept_voxel: For each voxel of the whole volume as long as slabs run: results and context.
        fixed: The network's weights and their copies.
        after: At peak after the last slab, the network's results included; the weights stay.
    """

    voxel: int
    kept_voxel: int
    fixed: int
    after: int = 0

    def needed(self, plan: SlabPlan, slice_voxels: int) -> int:
        """Bytes at peak of a plan for slices of so many voxels."""
        kept = self.kept_voxel * plan.depth * slice_voxels
        running = kept + self.voxel * plan.window * slice_voxels
        return self.fixed + max(running, self.after)


def plan_slabs(
    shape: tuple[int, int, int],
    halo: int,
    memory: MemoryModel,
    budget: int,
    step: int = STEP,
) -> SlabPlan:
    """The plan with the fewest slabs that fits, its slabs of even thickness.

    Args:
        shape: (D, H, W) of the network's input; D is a multiple of the step.
        halo: Slices that make slabs exact, from the recipe.
        memory: What the network takes.
        budget: Bytes that may be taken.
        step: What starts of slabs and windows are multiples of.

    Raises:
        DeviceError: Not even the thinnest slab fits.
    """
    depth, height, width = shape
    if depth % step:
        raise ValueError(f"depth {depth} is not a multiple of {step}")
    halo = -(-halo // step) * step
    blocks = depth // step
    for count in range(1, blocks + 1):
        plan = SlabPlan(depth, -(-blocks // count) * step, halo)
        if memory.needed(plan, height * width) <= budget:
            return plan
    thinnest = memory.needed(SlabPlan(depth, step, halo), height * width)
    raise DeviceError(
        f"{size_text(max(budget, 0))} of memory are left for the network, and a volume of "
        f"{depth}x{height}x{width} in the thinnest slabs needs {size_text(thinnest)}: raise "
        f"--max-memory by {size_text(thinnest - budget)} or more, or use a machine with more memory"
    )
