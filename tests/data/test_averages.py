import numpy as np
import pytest
import torch
from torch.nn import functional

from hagan_clinic.data.averages import area_averages, averages_of, filled_box
from hagan_clinic.data.moving import Box
from hagan_clinic.data.prepared import PreparedSubject

SHAPE = (16, 24, 20)


@pytest.fixture
def subject(tmp_path):
    rng = np.random.default_rng(0)
    head, target = (rng.integers(0, 256, SHAPE, dtype=np.uint8) for _ in range(2))
    brain = (rng.random(SHAPE) < 0.7).astype(np.uint8)
    file = tmp_path / "p.npy"
    np.save(file, np.stack([head, head * brain, target, brain]))
    return PreparedSubject("p", "p", file, 1, 2, True, SHAPE, (1.0, 1.0, 1.0))


def test_every_second_entry_is_the_area_average(subject):
    volume = np.load(subject.file)[:1]
    means = area_averages(volume)
    expected = functional.avg_pool3d(torch.from_numpy(volume).float(), 4)[0].numpy()
    assert np.abs(means[0, 1:-1:2, 1:-1:2, 1:-1:2] - expected).max() <= 0.5
    padded = functional.pad(torch.from_numpy(volume).float(), (2,) * 6)
    everywhere = functional.avg_pool3d(padded, 4, stride=2)[0].numpy()
    assert np.abs(means[0] - everywhere).max() <= 0.5


def test_what_is_not_empty_stays_so():
    dot = np.zeros((1, 8, 8, 8), np.uint8)
    dot[0, 5, 5, 5] = 1
    means = area_averages(dot)
    assert means.max() == 1 and (means > 0).sum() == 8
    assert area_averages(np.ones_like(dot), full=1)[0, 2, 2, 2] == 255


def test_each_form_has_its_source_and_target(subject):
    means = averages_of(subject)
    head, bare, target, brain = np.load(subject.file)
    for entry, volume in zip(means, (head, target, bare, target * brain), strict=False):
        assert np.array_equal(entry, area_averages(volume[None])[0])
    assert np.array_equal(means[4], area_averages(brain[None], full=1)[0])
    assert len(means) == 5


def test_they_are_made_once_and_again_if_damaged(subject):
    means = np.array(averages_of(subject))
    (file,) = subject.file.parent.glob("*.averages.npy")
    made = file.stat().st_mtime_ns
    assert np.array_equal(averages_of(subject), means)
    assert file.stat().st_mtime_ns == made
    file.write_bytes(b"torn")
    assert np.array_equal(averages_of(subject), means)


def test_the_filled_box_holds_all_that_is_not_empty_and_little_more():
    rng = np.random.default_rng(0)
    for _ in range(50):
        volume = np.zeros((1, *SHAPE), np.uint8)
        first = [int(rng.integers(side - 4)) for side in SHAPE]
        last = [int(rng.integers(a + 1, b + 1)) for a, b in zip(first, SHAPE, strict=True)]
        block = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        volume[0][block] = 1
        start = [int(rng.integers(side - 2)) for side in SHAPE]
        stop = [int(rng.integers(a + 1, b + 1)) for a, b in zip(start, SHAPE, strict=True)]
        box = Box(tuple(start), tuple(stop))
        found = filled_box(torch.from_numpy(area_averages(volume)), box)
        there = box.meeting(Box(tuple(first), tuple(last)))
        assert int(found.of(torch.from_numpy(volume)).sum()) == np.prod(there.shape)
        if all(there.shape):
            assert all(a <= b + 6 for a, b in zip(found.shape, there.shape, strict=True))
