from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from hagan_clinic.training.augment import AugmentConfig
from hagan_clinic.training.prepared import PreparedSubject
from hagan_clinic.training.stream import VolumeStream

SHAPE = (24, 32, 28)
STRIPPED = replace(AugmentConfig.none(), stripped=1.0)
SEEDS = range(12)


@pytest.fixture
def subject(tmp_path):
    """A head with a ball for a brain; source and target are nowhere background."""
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    brain = (sum(axis**2 for axis in axes) < 0.6).astype(np.uint8)
    head = np.random.default_rng(0).integers(1, 256, SHAPE, dtype=np.uint8)
    file = tmp_path / "p.npy"
    np.save(file, np.stack([head, head * brain, head, brain]))
    return PreparedSubject("p", "p", file, 1, 2, True, SHAPE, (1.0, 1.0, 1.0))


def volume(subject, augment, seed=0):
    return VolumeStream([subject], augment, seed)[0]


def layers_off(subject, augment, seed):
    """How many layers of voxels the brain of a volume has lost: exactly one number fits."""
    whole = subject.load()[2][0] > 0
    found = volume(subject, augment, seed).brain.data[0].numpy() > 0
    cube = np.ones((3, 3, 3))
    fitting = [
        layers
        for layers in range(6)
        if np.array_equal(found, ndimage.binary_erosion(whole, cube, layers) if layers else whole)
    ]
    (layers,) = fitting
    return layers


def test_the_brain_gets_tighter_by_one_to_so_many_layers(subject):
    augment = replace(STRIPPED, erosion=1.0, erosion_voxels=3)
    assert {layers_off(subject, augment, seed) for seed in SEEDS} == {1, 2, 3}


def test_it_does_so_with_the_stated_probability(subject):
    augment = replace(STRIPPED, erosion=0.5, erosion_voxels=1)
    assert {layers_off(subject, augment, seed) for seed in SEEDS} == {0, 1}
    assert layers_off(subject, replace(augment, erosion=0.0), seed=0) == 0


def test_source_and_target_are_background_outside_the_tighter_brain(subject):
    result = volume(subject, replace(STRIPPED, erosion=1.0, erosion_voxels=2))
    brain = result.brain.data > 0
    for image in (result.source.data, result.target.data):
        assert (image[~brain] == -1).all()
        assert (image[brain] > -1).all()


def test_a_head_with_its_skull_keeps_its_brain_and_its_values(subject):
    augment = replace(AugmentConfig.none(), erosion=1.0, erosion_voxels=2)
    for seed in SEEDS:
        assert layers_off(subject, augment, seed) == 0
    assert (volume(subject, augment).source.data > -1).all()


def test_a_subject_of_one_form_is_never_eroded(subject, tmp_path):
    stored = np.load(subject.file)
    np.save(tmp_path / "one.npy", stored[[0, 2, 3]])
    single = replace(subject, file=tmp_path / "one.npy", forms=1)
    assert layers_off(single, replace(STRIPPED, erosion=1.0), seed=0) == 0


def test_a_volume_depends_on_seed_and_number_alone(subject):
    augment = AugmentConfig()
    stream = VolumeStream([subject], augment, seed=1)
    stream[3]
    again = VolumeStream([subject], augment, seed=1)[5]
    assert np.array_equal(stream[5].source.data, again.source.data)
    assert np.array_equal(stream[5].brain.data, again.brain.data)
