from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.averages import area_averages
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.stream import VolumeStream, fits

SHAPE = (24, 32, 28)
STRIPPED = replace(AugmentConfig.none(), stripped=1.0)


@pytest.fixture
def subject(tmp_path):
    """A head with a ball for a brain; source and target are nowhere background."""
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    brain = (sum(axis**2 for axis in axes) < 0.6).astype(np.uint8)
    head = np.random.default_rng(0).integers(1, 256, SHAPE, dtype=np.uint8)
    file = tmp_path / "p.npy"
    np.save(file, np.stack([head, head * brain, head, brain]))
    return PreparedSubject("p", "p", file, 1, 2, True, SHAPE, (1.5, 1.5, 1.5))


@pytest.mark.parametrize("augment", [AugmentConfig.none(), STRIPPED])
def test_volumes_are_raw_bytes_of_the_form_that_was_drawn(subject, augment):
    volume = VolumeStream([subject], augment, seed=0, labels=[3])[5]
    head, bare, target, brain = np.load(subject.file)
    form = bare if augment is STRIPPED else head
    for image, expected in ((volume.source, form), (volume.target, target), (volume.brain, brain)):
        assert image.data.dtype == torch.uint8
        assert np.array_equal(image.data[0], expected)
    assert volume.drawn.stripped == (augment is STRIPPED)
    assert volume.averages.shape == (3, 13, 17, 15)
    assert np.array_equal(volume.averages[0], area_averages(form[None])[0])
    shown = target * brain if augment is STRIPPED else target
    assert np.array_equal(volume.averages[1], area_averages(shown[None])[0])
    assert (volume.number, volume.label, volume.spacing) == (5, 3, (1.5, 1.5, 1.5))


def test_a_volume_depends_on_seed_and_number_alone(subject):
    stream = VolumeStream([subject], AugmentConfig(), seed=1)
    stream[3]
    again = VolumeStream([subject], AugmentConfig(), seed=1)[5]
    assert repr(stream[5].drawn) == repr(again.drawn) != repr(stream[3].drawn)
    assert np.array_equal(stream[5].source.data, again.source.data)


def test_a_resident_volume_is_read_once(subject):
    stream = VolumeStream([subject], STRIPPED, seed=0, resident=torch.device("cpu"))
    before = stream[0].source.data.clone()
    subject.file.unlink()
    assert torch.equal(stream[3].source.data, before)


def test_a_cohort_stays_on_a_gpu_that_has_room_for_it(subject, monkeypatch):
    needed = np.load(subject.file).nbytes * 3 * 1.2
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=2 * needed)
    )
    cuda = torch.device("cuda", 0)
    assert fits([subject] * 3, cuda, 0.51)
    assert not fits([subject] * 3, cuda, 0.49)
    assert not fits([subject] * 4, cuda, 0.51)
    assert not fits([subject], torch.device("cpu"), 1.0)
