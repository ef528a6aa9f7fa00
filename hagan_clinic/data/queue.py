"""The queue of training samples: slabs of many augmented volumes, each a function of its number.

``tio.Queue`` reads volumes, in worker processes if there are any, and hands out raw slabs, which
``prefetch`` has augmented on the device. Left to itself its order depends on the workers' timing
and on a global random state that is not saved. Here:

* a **position** is an index in the global batch of B = batch_size * world_size samples. Volume
  number n (0, 1, 2, ...) belongs to position n mod B, is subject
  ``permutation(seed, n // N)[n % N]`` and is augmented with random numbers of (seed, n) alone;
* its slab number i is drawn with random numbers of (seed, n, i) alone;
* the queue is a shuffle **buffer** of fixed length, emptied before it is filled again. One buffer
  gives every position ``volumes`` volumes of ``slabs_per_volume`` slabs, in an order of (seed,
  buffer number, position).

So batch j is a function of (seed, j) for any number of workers; a run that starts at batch j
fills the buffer that j belongs to, drops what comes before it, and goes on exactly. A process of
rank q loads only the positions q * batch_size to (q + 1) * batch_size, so that two processes with
batch b see, sample for sample, what one process with batch 2b sees.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torchio as tio
from torch.utils.data import Sampler

from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.augmented import Batch, RawSample
from hagan_clinic.data.prefetch import batches_ahead
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.slab_sampler import NumberedCubes, NumberedSlabs, sampler_of
from hagan_clinic.data.stream import VolumeStream, fits
from hagan_clinic.errors import InputError
from hagan_clinic.volume import Shape


class VolumeOrder(Sampler[int]):
    """The numbers of the volumes that a process loads: by buffer, then position, for ever."""

    def __init__(
        self, positions: range, global_batch: int, volumes: int, first_buffer: int
    ) -> None:
        self.positions = positions
        self.global_batch = global_batch
        self.volumes = volumes
        self.first_buffer = first_buffer

    def __iter__(self) -> Iterator[int]:
        for buffer in count(self.first_buffer):
            for position in self.positions:
                for volume in range(buffer * self.volumes, (buffer + 1) * self.volumes):
                    yield volume * self.global_batch + position

    def __len__(self) -> int:
        return sys.maxsize  # tio.Queue asks after how many subjects to start over: never


class SlabQueue(tio.Queue):
    """``tio.Queue`` whose order depends on (seed, buffer); slabs keep their position."""

    def __init__(
        self,
        stream: VolumeStream,
        sampler: NumberedSlabs | NumberedCubes,
        order: VolumeOrder,
        slabs_per_volume: int,
        workers: int,
    ) -> None:
        self.order = order
        self.seed = sampler.seed
        self.slabs_per_position = order.volumes * slabs_per_volume
        self.buffer = order.first_buffer
        super().__init__(
            cast(tio.SubjectsDataset, stream),  # the queue does no more than index it
            max_length=len(order.positions) * self.slabs_per_position,
            samples_per_volume=slabs_per_volume,
            sampler=sampler,
            subject_sampler=order,
            num_workers=workers,
            shuffle_subjects=False,
        )

    def _shuffle_patches_list(self) -> None:
        columns = [
            index * self.slabs_per_position
            + np.random.default_rng((self.seed, self.buffer, position, 2)).permutation(
                self.slabs_per_position
            )
            for index, position in enumerate(self.order.positions)
        ]
        self.patches_list = [self.patches_list[i] for i in np.stack(columns, axis=1).ravel()]
        self.buffer += 1


def slab_loader(
    subjects: Sequence[PreparedSubject],
    *,
    thickness: int = 32,
    halo: int = 8,
    batch_size: int = 1,
    slabs_per_volume: int = 4,
    queue_length: int = 32,
    workers: int = 0,
    seed: int = 0,
    start_index: int = 0,
    augment: AugmentConfig | None = None,
    rank: int = 0,
    world_size: int = 1,
    in_turn: bool = False,
    whole: bool = False,
    cube: int = 0,
    labels: Sequence[int] | None = None,
    measurements: Sequence[Sequence[float]] | None = None,
    regions: Sequence[Path] | None = None,
    device: torch.device | str = "cpu",
    resident_share: float = 0.0,
) -> Iterator[Batch]:
    """Batches for ever, from batch number ``start_index`` on.

    Args:
        subjects: Prepared subjects, all of one shape (D, H, W).
        thickness: Slices of a slab, a multiple of 4; D trains on whole volumes.
        halo: Real slices on each side of the slab, a multiple of 4.
        batch_size: Samples for this process.
        slabs_per_volume: Slabs drawn from a volume once it is read.
        queue_length: Slabs that all processes together hold; rounded up so that every sample
            of the global batch gets whole volumes. More of them mix the patients better.
        workers: Processes that read volumes; 0 does it here. Each has two more volumes
            ready, so 2 * workers * slabs_per_volume slabs are refilled without waiting.
        seed: Everything follows from it.
        start_index: Number of the first batch, for resuming.
        augment: None for no augmentation.
        rank: Of this process.
        world_size: Number of processes.
        in_turn: Take the disjoint slabs in turn instead of drawing where they start.
        whole: Give the whole volume with every slab.
        cube: Give cubes of this side instead of slabs; 0 gives slabs.
        labels: The class of every subject, if they have one.
        measurements: What every subject was measured to be, if it was.
        regions: The file of every subject's region (``data.region``), if they have one; needs
            ``whole``.
        device: Where batches are augmented, and are.
        resident_share: Of a GPU's memory; a cohort that takes no more of it stays there and is
            cut there, and ``workers`` have nothing to do.

    Returns:
        An iterator of dictionaries of tensors, with w = min(thickness + 2 * halo, D):
        ``source_window`` (B, C, w, H, W), ``target_slab`` and ``brain_slab``
        (B, 1, thickness, H, W), ``source_low`` (B, C, D/4, H/4, W/4), ``target_low`` and
        ``brain_low`` (B, 1, D/4, H/4, W/4), and int64 (B,): ``slab_start`` r, ``window_start``,
        ``index`` (the sample's number in the global stream), ``volume`` (the number of the
        augmented volume it is from). Without a target in the recipe the two target entries are
        absent. With ``whole`` there is ``source_whole`` (B, C, D, H, W), and for subjects with a
        class ``label`` (B,), of measured ones ``measurements`` (B, M), of those with a region
        ``region_whole`` (B, 1, D, H, W) in [0, 1]. With ``cube`` there are ``index``, ``volume``,
        and of source, target and brain ``source_patch`` and so on, with ``whole`` also
        ``source_whole`` and so on.

    Raises:
        InputError: No subjects, unequal shapes, or sizes that do not fit them.
    """
    shape = _common_shape(subjects)
    _check_sizes(shape[0], thickness, halo, batch_size, slabs_per_volume, workers)
    global_batch = batch_size * world_size
    volumes = max(1, -(-queue_length // (global_batch * slabs_per_volume)))
    sampler = sampler_of(shape, thickness, seed, halo=halo, in_turn=in_turn, whole=whole, cube=cube)
    first_buffer, behind = divmod(start_index, volumes * slabs_per_volume)
    order = VolumeOrder(
        range(rank * batch_size, (rank + 1) * batch_size), global_batch, volumes, first_buffer
    )
    place = torch.device(device)
    stays = fits(subjects, place, resident_share)
    stream = VolumeStream(
        subjects,
        augment or AugmentConfig.none(),
        seed,
        labels,
        place if stays else None,
        measurements=measurements,
        regions=regions,
    )
    # Each loader draws a seed for its workers as it starts; training's own stream is left alone.
    with torch.random.fork_rng(devices=[]):
        queue = SlabQueue(stream, sampler, order, slabs_per_volume, 0 if stays else workers)
    # What comes before the first batch is dropped as it is, before any work is done on it.
    raw = islice(_lists(queue, batch_size), behind, None)
    first = rank * batch_size + torch.arange(batch_size)
    return (
        batch | {"index": number * global_batch + first}
        for number, batch in enumerate(batches_ahead(raw, place), start_index)
    )


def _lists(queue: SlabQueue, length: int) -> Iterator[list[RawSample]]:
    """The queue's samples, so many at a time."""
    while True:
        yield [cast(RawSample, queue[0]) for _ in range(length)]


def _common_shape(subjects: Sequence[PreparedSubject]) -> Shape:
    if not subjects:
        raise InputError("there are no prepared subjects to train on")
    shapes = {subject.shape for subject in subjects}
    if len(shapes) != 1:
        raise InputError(f"the prepared volumes have the shapes {sorted(shapes)}; expected one")
    return shapes.pop()


def _check_sizes(
    depth: int, thickness: int, halo: int, batch_size: int, slabs_per_volume: int, workers: int
) -> None:
    if not 0 < thickness <= depth or thickness % LOW_RES_FACTOR:
        raise InputError(
            f"the slab thickness is {thickness}; expected a multiple of {LOW_RES_FACTOR} up to "
            f"the {depth} slices of the prepared volumes"
        )
    if halo < 0 or halo % LOW_RES_FACTOR:
        raise InputError(f"the halo is {halo}; expected a multiple of {LOW_RES_FACTOR}, or 0")
    if min(batch_size, slabs_per_volume) < 1 or workers < 0:
        raise InputError(
            f"batch size {batch_size}, slabs per volume {slabs_per_volume}, workers {workers}; "
            "expected at least 1, 1 and 0"
        )
