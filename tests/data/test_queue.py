import os
import random
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from hagan_clinic.data import queue
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import PreparedSubject, prepare_cohort
from hagan_clinic.data.queue import slab_loader
from hagan_clinic.data.slab_sampler import NumberedSlabs
from hagan_clinic.data.stream import VolumeStream
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe

SHAPE = (48, 16, 16)
OPTIONS = {
    "thickness": 16,
    "halo": 4,
    "batch_size": 2,
    "slabs_per_volume": 2,
    "queue_length": 8,
    "seed": 3,
    "augment": AugmentConfig(),
}


ONLY_FORM = dict.fromkeys(
    ("stripped", "flip", "affine", "anisotropy", "bias_field", "gamma", "noise"), 0.0
)


def stored_subject(folder, number, shape=SHAPE):
    """Two forms of one source channel, the target equal to the whole head, and the brain."""
    head = np.random.default_rng(number).integers(1, 256, shape, dtype=np.uint8)
    brain = (np.arange(shape[0]) % 3 > 0).astype(np.uint8)[:, None, None] * np.ones_like(head)
    file = folder / f"p{number}.npy"
    np.save(file, np.stack([head, head * brain, head, brain]))
    return PreparedSubject(f"p{number}", f"p{number}", file, 1, 2, True, shape, (1.0, 1.0, 1.0))


@pytest.fixture
def subjects(tmp_path):
    return [stored_subject(tmp_path, number) for number in range(5)]


def batches(subjects, number, **changes):
    return list(islice(slab_loader(subjects, **(OPTIONS | changes)), number))


def assert_same(batch, other):
    assert batch.keys() == other.keys()
    for key, value in batch.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [1, 4, 7])
def test_restarted_stream_continues_the_uninterrupted_one(subjects, start, workers):
    whole = batches(subjects, 10)
    restarted = batches(subjects, 10 - start, start_index=start, workers=workers)
    for batch, other in zip(whole[start:], restarted, strict=True):
        assert_same(batch, other)


def test_two_processes_share_the_doubled_batch_of_one(subjects):
    doubled = batches(subjects, 9, batch_size=4, start_index=1)
    ranks = [
        batches(subjects, 9, batch_size=2, start_index=1, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    for batch, first, second in zip(doubled, *ranks, strict=True):
        assert_same(batch, {key: torch.cat([first[key], second[key]]) for key in first})


def test_volumes_that_stay_on_the_device_give_the_same_batches(subjects, monkeypatch):
    read = batches(subjects, 8, workers=1)
    monkeypatch.setattr(queue, "fits", lambda subjects, device, share: share == 0.5)
    stay = batches(subjects, 8, workers=1, resident_share=0.5)
    for batch, other in zip(read, stay, strict=True):
        assert_same(batch, other)


def test_sample_numbers_count_up(subjects):
    numbers = torch.cat([batch["index"] for batch in batches(subjects, 6, start_index=3)])
    assert numbers.tolist() == list(range(6, 18))


def test_another_seed_gives_other_samples(subjects):
    (batch,), (other,) = batches(subjects, 1), batches(subjects, 1, seed=4)
    assert not torch.equal(batch["source_window"], other["source_window"])


def test_every_volume_gives_its_slabs_within_one_fill(subjects):
    fill = batches(subjects, 4)
    counts = Counter(torch.cat([batch["volume"] for batch in fill]).tolist())
    assert counts == {0: 2, 1: 2, 2: 2, 3: 2}


def test_samples_of_a_batch_come_from_different_volumes(subjects):
    for batch in batches(subjects, 8, batch_size=4, queue_length=32):
        assert len(set(batch["volume"].tolist())) == 4


def test_queue_mixes_the_volumes_of_a_position(subjects):
    order = [
        int(batch["volume"])
        for batch in batches(subjects, 8, batch_size=1, slabs_per_volume=4, queue_length=8)
    ]
    assert sorted(order) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert order != sorted(order)


def cubes(subjects, number, **changes):
    return batches(subjects, number, cube=12, augment=AugmentConfig.none(), **changes)


def test_cubes_are_parts_of_their_volume_anywhere_in_it(subjects):
    places = set()
    for batch in cubes(subjects, 12, whole=True):
        assert batch["source_patch"].shape == (2, 1, 12, 12, 12)
        for part, whole in zip(batch["source_patch"], batch["source_whole"], strict=True):
            # The voxels of a volume are random, so a cube of it is found by any of its rows.
            rows = whole.unfold(3, 12, 1)
            (start,) = (rows == part[0, 0, 0]).all(-1).nonzero()[:, 1:].tolist()
            d, h, w = (slice(first, first + 12) for first in start)
            assert torch.equal(part, whole[:, d, h, w])
            places.add(tuple(start))
        assert {"target_patch", "brain_patch", "target_whole", "brain_whole"} <= batch.keys()
    depths, heights, _ = zip(*places, strict=True)
    assert max(depths) > 24 and min(depths) < 12 and len(set(heights)) == 5


def test_a_stream_of_cubes_goes_on_too(subjects):
    whole = cubes(subjects, 6)
    for batch, other in zip(whole[3:], cubes(subjects, 3, start_index=3), strict=True):
        assert_same(batch, other)
    assert "source_whole" not in whole[0]


def test_cubes_end_where_a_volume_does(subjects):
    (batch,) = batches(subjects, 1, cube=32)
    assert batch["source_patch"].shape == (2, 1, 32, 16, 16)


def test_every_subject_comes_once_an_epoch(subjects):
    stream = VolumeStream(subjects, AugmentConfig.none(), seed=0)
    heads = [np.load(subject.file)[:1] for subject in subjects]
    epochs = [
        [
            next(i for i, head in enumerate(heads) if np.array_equal(head, stream[n].source.data))
            for n in range(5 * epoch, 5 * epoch + 5)
        ]
        for epoch in range(4)
    ]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in epochs)
    assert len({tuple(order) for order in epochs}) > 1


def test_slab_and_window_show_the_same_tissue_as_the_volume(subjects):
    # The stored target equals the source, so each slab must be found in its window.
    for batch in batches(subjects, 12, augment=None):
        assert batch["source_window"].shape == (2, 1, 24, 16, 16)
        for window, slab, start, first in zip(
            batch["source_window"], batch["target_slab"],
            batch["slab_start"].tolist(), batch["window_start"].tolist(), strict=True,
        ):  # fmt: skip
            assert first == min(max(start - 4, 0), SHAPE[0] - 24)
            assert torch.equal(window[:, start - first : start - first + 16], slab)


def test_slab_starts_cover_every_fourth_slice_evenly(subjects):
    starts = torch.cat([batch["slab_start"] for batch in batches(subjects, 150, augment=None)])
    counts = Counter(starts.tolist())
    assert sorted(counts) == list(range(0, 33, 4))
    # 300 draws over 9 places: 33 expected each, 5.4 standard deviation.
    assert min(counts.values()) > 33 - 4 * 5.4


def test_low_resolution_is_the_area_average_of_the_volume(subjects):
    (batch,) = batches(subjects, 1, augment=None, thickness=48)
    (slabs,) = batches(subjects, 1, augment=None)
    for low, high in (
        ("source_low", "source_window"), ("target_low", "target_slab"), ("brain_low", "brain_slab"),
    ):  # fmt: skip
        assert torch.equal(batch[low], functional.avg_pool3d(batch[high], 4))
        assert (batch[low] - slabs[low]).abs().max() <= 2.01 / 255


def test_slab_as_thick_as_the_volume_is_the_volume(subjects):
    (batch,) = batches(subjects, 1, thickness=48)
    assert batch["source_window"].shape == batch["target_slab"].shape == (2, 1, 48, 16, 16)
    assert batch["slab_start"].tolist() == batch["window_start"].tolist() == [0, 0]


def test_stripped_form_is_empty_outside_the_brain_in_source_and_target(subjects):
    moved = ONLY_FORM | {"stripped": 1.0, "affine": 1.0}  # interpolation smears the edge
    stripped = batches(subjects, 4, augment=AugmentConfig(**moved))
    whole = batches(subjects, 4, augment=AugmentConfig(**ONLY_FORM))
    for batch in stripped:
        assert (batch["target_slab"][batch["brain_slab"] == 0] == -1).all()
        assert (batch["source_window"] == -1).any()
    assert not any((batch["source_window"] == -1).any() for batch in whole)


def test_queued_slabs_do_not_hold_their_volumes(subjects):
    volume = VolumeStream(subjects, AugmentConfig.none(), seed=0)[0]
    sample = NumberedSlabs(SHAPE, thickness=16, halo=4, seed=0).sample(volume, 0)
    for part in (sample.source, sample.target, sample.brain, sample.averages):
        assert part.dtype == torch.uint8
        assert part.untyped_storage().nbytes() == part.nbytes
    assert sample.held.shape == (24, 16, 16)


def test_loading_leaves_the_random_state_of_the_program(subjects):
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    before = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    batches(subjects, 2)
    assert (torch.rand(1), np.random.rand(), random.random()) == before


def test_cohort_without_target_gives_no_target(tmp_path):
    file = tmp_path / "p.npy"
    np.save(file, np.ones((2, *SHAPE), np.uint8))
    subject = PreparedSubject("p", "p", file, 1, 1, False, SHAPE, (1.0, 1.0, 1.0))
    (batch,) = batches([subject], 1)
    assert not any(key.startswith("target") for key in batch)
    assert batch["source_low"].shape == (2, 1, 12, 4, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thickness": 64}, "thickness is 64; expected a multiple of 4 up to the 48 slices"),
        ({"thickness": 10}, "thickness is 10; expected a multiple of 4"),
        ({"halo": 3}, "halo is 3; expected a multiple of 4"),
        ({"batch_size": 0}, "batch size 0"),
        ({"workers": -1}, "workers -1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(subjects, changes, message):
    with pytest.raises(InputError, match=message):
        slab_loader(subjects, **(OPTIONS | changes))


def test_unequal_shapes_are_refused(tmp_path, subjects):
    other = stored_subject(tmp_path, 9, shape=(32, 16, 16))
    with pytest.raises(InputError, match=r"shapes \[\(32, 16, 16\), \(48, 16, 16\)\]"):
        slab_loader([*subjects, other], **OPTIONS)


def test_no_subjects_are_refused():
    with pytest.raises(InputError, match="no prepared subjects"):
        slab_loader([], **OPTIONS)


@pytest.mark.skipif("HAGAN_TEST_DATA" not in os.environ, reason="needs HAGAN_TEST_DATA")
def test_real_patients_reach_the_network_whole_and_stripped(tmp_path):
    cohort = find_cohort(Path(os.environ["HAGAN_TEST_DATA"]) / "lgg_mni")[:2]
    recipe = Recipe(("t1",), "flair", (1.5, 1.5, 1.5), 16, 8, 1.0)
    prepared = prepare_cohort(cohort, recipe, tmp_path)
    samples = islice(
        slab_loader(prepared, batch_size=1, slabs_per_volume=1, queue_length=1,
                    augment=AugmentConfig()), 6,
    )  # fmt: skip
    empty = []
    for batch in samples:
        assert batch["source_window"].shape == (1, 1, 48, 144, 112)
        assert batch["target_slab"].shape == batch["brain_slab"].shape == (1, 1, 32, 144, 112)
        assert batch["source_low"].shape == batch["target_low"].shape == (1, 1, 28, 36, 28)
        for key, low in (("source_window", -1), ("target_slab", -1), ("brain_slab", 0)):
            assert batch[key].isfinite().all()
            assert low <= batch[key].min() and batch[key].max() <= 1
        outside = batch["brain_slab"] == 0
        empty.append(float((batch["target_slab"][outside] == -1).float().mean()))
    assert min(empty) < 0.9 and max(empty) > 0.99


def test_slabs_in_turn_are_the_disjoint_ones_one_after_the_other(subjects):
    order = {"in_turn": True, "halo": 0, "slabs_per_volume": 3, "batch_size": 1, "whole": True}
    taken = batches(subjects, 9, **order)  # the queue filled once
    starts: dict[int, list[int]] = {}
    for batch in taken:
        start, volume = int(batch["slab_start"]), int(batch["volume"])
        starts.setdefault(volume, []).append(start)
        whole = batch["source_whole"]
        assert whole.shape[2:] == SHAPE
        assert torch.equal(batch["source_window"], whole[:, :, start : start + 16])
    assert all(sorted(each) == [0, 16, 32] for each in starts.values())
    drawn = {int(start) for batch in batches(subjects, 30, halo=0) for start in batch["slab_start"]}
    assert not drawn <= {0, 16, 32}
