"""Augmented samples: parts against the whole, and each by itself."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.augmented import augmented
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.draws import Affine, Drawn, draw
from hagan_clinic.data.prefetch import batches_ahead
from hagan_clinic.data.prepared import PreparedSubject, prepare_cohort
from hagan_clinic.data.slab_sampler import NumberedCubes, NumberedSlabs
from hagan_clinic.data.stream import VolumeStream

SHAPE = (48, 40, 32)
MIXED = Affine((1.08, 0.93, 1.05), (9.0, -12.0, 14.0), (4.0, -5.0, 3.0))
BIAS = np.random.default_rng(0).uniform(-0.2, 0.2, (1, 20))
GAMMA = np.array([1.2])
DRAWN = {
    "nothing": Drawn(),
    "flip": Drawn(flip=True),
    "affine": Drawn(affine=MIXED),
    "flip and affine": Drawn(flip=True, affine=MIXED),
    "bias": Drawn(bias=BIAS, affine=MIXED),
    "gamma": Drawn(gamma=GAMMA),
    "thick along D": Drawn(thick=(0, 2.6), affine=MIXED),
    "thick along W": Drawn(thick=(2, 1.7)),
    "stripped": Drawn(stripped=True, affine=MIXED),
    "eroded": Drawn(stripped=True, erosion=2, flip=True),
    "all": Drawn(True, 1, True, MIXED, BIAS, GAMMA, 0.0, (0, 2.2)),
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """A textured head in air with a ball for a brain, and another texture for a target."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    radius = sum(axis**2 for axis in axes)
    brain = (radius < 0.5).astype(np.uint8)
    head, target = (
        (140 + 900 * ndimage.gaussian_filter(noise, 1.5)).clip(20, 255) * (radius < 0.8)
        for noise in rng.standard_normal((2, *SHAPE))
    )
    images = [head, head * brain, target, brain]
    file = tmp_path_factory.mktemp("prepared") / "p.npy"
    np.save(file, np.stack(images).astype(np.uint8))
    return PreparedSubject("p", "p", file, 1, 2, True, SHAPE, (1.0, 1.0, 1.0))


def volume_of(subject, drawn, seed=0, number=0):
    """The raw volume of a subject for which this was drawn."""
    form = replace(AugmentConfig.none(), stripped=float(drawn.stripped))
    volume = VolumeStream([subject], form, seed)[number]
    assert volume.drawn.stripped == drawn.stripped
    volume["drawn"] = drawn
    volume.update_attributes()
    return volume


def whole_of(subject, drawn):
    """Source, target, brain of the wholly augmented volume, as a cube and as a slab."""
    volume = volume_of(subject, drawn)
    cube = augmented(NumberedCubes(SHAPE, 48, 0).sample(volume, 0))
    assert cube["source_patch"].shape == (1, *SHAPE)
    return {name: cube[f"{name}_patch"] for name in ("source", "target", "brain")}


def slabs_of(subject, drawn, *, number=6, whole=False):
    volume = volume_of(subject, drawn)
    sampler = NumberedSlabs(SHAPE, 8, 4, 0, whole=whole)
    return [augmented(sampler.sample(volume, n)) for n in range(number)]


@pytest.mark.parametrize("name", DRAWN)
def test_a_slab_is_cut_from_the_wholly_augmented_volume(subject, name):
    whole = whole_of(subject, DRAWN[name])
    starts = set()
    for slab in slabs_of(subject, DRAWN[name]):
        start, first = int(slab["slab_start"]), int(slab["window_start"])
        starts.add(start)
        window = whole["source"][:, first : first + 16]
        # A voxel whose place is half-way between brain and not is either, by rounding.
        other = (slab["source_window"] - window).abs() > 1e-3
        assert other.float().mean() < (1e-3 if DRAWN[name].stripped else 1e-9)
        for image in ("target", "brain"):
            part = whole[image][:, start : start + 8]
            assert ((slab[f"{image}_slab"] - part).abs() > 1e-3).float().mean() < 1e-3
    assert len(starts) > 3


@pytest.mark.parametrize("name", DRAWN)
def test_low_resolution_is_the_average_of_the_augmented_volume(subject, name):
    whole = whole_of(subject, DRAWN[name])
    (slab,) = slabs_of(subject, DRAWN[name], number=1)
    for image in ("source", "target", "brain"):
        low, average = slab[f"{image}_low"], functional.avg_pool3d(whole[image], 4)
        pair = torch.stack([low.flatten(), average.flatten()])
        assert torch.corrcoef(pair)[0, 1] > (0.95 if DRAWN[name].erosion else 0.995)
        assert (low - average).abs().mean() < 0.04
        if name in ("nothing", "flip"):
            assert (low - average).abs().max() <= 2.01 / 255


@pytest.mark.parametrize("name", ["flip and affine", "all"])
def test_the_whole_that_is_asked_for_is_the_whole(subject, name):
    (slab,) = slabs_of(subject, DRAWN[name], number=1, whole=True)
    expected = whole_of(subject, DRAWN[name])
    first = int(slab["window_start"])
    assert torch.equal(slab["source_window"], slab["source_whole"][:, first : first + 16])
    assert torch.allclose(slab["source_whole"], expected["source"], atol=1e-3)
    assert torch.equal(slab["source_low"], functional.avg_pool3d(slab["source_whole"], 4))


@pytest.mark.parametrize("name", DRAWN)
def test_values_stay_in_the_networks_range(subject, name):
    whole = whole_of(subject, DRAWN[name])
    for image in ("source", "target"):
        assert whole[image].dtype == torch.float32
        assert whole[image].min() == -1 and whole[image].max() <= 1
    assert set(whole["brain"].unique().tolist()) == {0, 1}


@pytest.mark.parametrize("name", ["bias_field", "gamma", "noise", "anisotropy"])
def test_intensity_changes_the_source_alone_and_leaves_air(subject, name):
    drawn = draw(replace(AugmentConfig.none(), **{name: 1.0}), 0, 0, 1, 2)
    before, after = whole_of(subject, Drawn()), whole_of(subject, drawn)
    assert torch.equal(before["target"], after["target"])
    assert torch.equal(before["brain"], after["brain"])
    assert (before["source"] - after["source"]).abs().mean() > 0.002
    if name != "anisotropy":
        assert (after["source"][before["source"] == -1] == -1).all()


def test_the_bias_field_keeps_the_mean_over_the_head(subject):
    before, after = whole_of(subject, Drawn()), whole_of(subject, Drawn(bias=BIAS))
    ratio = (after["source"] + 1) / (before["source"] + 1).clamp_min(1e-6)
    inside = (before["source"] > -0.99) & (after["source"] < 0.99)
    assert ratio[inside].mean() == pytest.approx(1, abs=0.02)
    assert ratio[inside].std() > 0.05


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_the_brain_loses_so_many_layers_and_nothing_is_left_outside(subject, layers):
    whole = whole_of(subject, Drawn(stripped=True, erosion=layers))
    brain = subject.load()[2][0] > 0
    cube = np.ones((3, 3, 3))
    tighter = ndimage.binary_erosion(brain, cube, layers) if layers else brain
    assert np.array_equal(whole["brain"][0] > 0, tighter)
    for image in ("source", "target"):
        assert (whole[image][0][~torch.from_numpy(tighter)] == -1).all()
        assert (whole[image][0][torch.from_numpy(tighter)] > -1).float().mean() > 0.99


def test_a_head_with_its_skull_keeps_its_values(subject):
    whole = whole_of(subject, Drawn())
    source, target, brain = subject.load()
    for image, stored in (("source", source), ("target", target), ("brain", brain)):
        assert np.abs(whole[image].numpy() - stored).max() < 1e-6


def samples(subject, number=6, seed=0):
    augment = AugmentConfig(flip=0.5, affine=0.7, noise=0.6, anisotropy=0.5, gamma=0.5)
    stream, sampler = VolumeStream([subject], augment, seed), NumberedSlabs(SHAPE, 8, 4, seed)
    return [sampler.sample(stream[n], n % 2) for n in range(number)]


def batches(samples, size):
    """The samples in batches of a size."""
    lists = (samples[first : first + size] for first in range(0, len(samples), size))
    return batches_ahead(lists, torch.device("cpu"))


def test_a_sample_is_the_same_in_any_batch(subject):
    drawn = samples(subject)
    (together,), (backwards,) = batches(drawn, 6), batches(drawn[::-1], 6)
    for place, alone in enumerate(batches(drawn, 1)):
        for name, values in alone.items():
            assert torch.equal(values[0], together[name][place]), name
            assert torch.equal(values[0], backwards[name][5 - place]), name


def test_a_sample_is_a_function_of_seed_and_number(subject):
    (first,), (again,) = batches(samples(subject), 6), batches(samples(subject), 6)
    (other,) = batches(samples(subject, seed=1), 6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["source_window"], other["source_window"])


def test_slabs_of_one_volume_share_all_but_their_noise(subject):
    drawn = Drawn(noise=0.05, affine=MIXED, gamma=GAMMA)
    volume, sampler = volume_of(subject, drawn), NumberedSlabs(SHAPE, 48, 0, 0)
    first, second = (augmented(sampler.sample(volume, n)) for n in range(2))
    assert torch.equal(first["target_slab"], second["target_slab"])
    difference = first["source_window"] - second["source_window"]
    head = first["source_window"] > -0.9
    # Two draws of 0.05 on [0, 1], so of 0.1 on [-1, 1].
    assert difference[head].std() == pytest.approx(0.1 * 2**0.5, rel=0.1)


def test_every_augmentation_takes_part(subject):
    """What a drawn field is set to changes what comes out."""
    plain = whole_of(subject, Drawn(stripped=True))["source"]
    changed = Counter()
    for name in (field.name for field in fields(Drawn)):
        values = {
            "stripped": False, "erosion": 1, "flip": True, "affine": MIXED, "bias": BIAS,
            "gamma": GAMMA, "noise": 0.1, "thick": (1, 2.0),
        }  # fmt: skip
        other = whole_of(subject, replace(Drawn(stripped=True), **{name: values[name]}))["source"]
        changed[name] = int((other - plain).abs().max() > 0.05)
    assert set(changed.values()) == {1}, changed


def test_a_real_patient_is_the_same_in_parts_and_whole(test_data, tmp_path):
    config = ConditionalConfig(spacing=3.0, size=(64, 80, 64))
    cohort = find_cohort(test_data / "lgg_mni", ("t1",), "flair")[:1]
    prepared = prepare_cohort(cohort, config.recipe, tmp_path, shape=config.size)
    volume = VolumeStream(prepared, config.augmentation, 0)[3]
    drawn = replace(volume.drawn, affine=MIXED, noise=0.0)
    volume["drawn"] = drawn
    volume.update_attributes()
    slab = augmented(NumberedSlabs((64, 80, 64), 16, 8, 0).sample(volume, 0))
    cube = augmented(NumberedCubes((64, 80, 64), 80, 0).sample(volume, 0))
    first = int(slab["window_start"])
    window = cube["source_patch"][:, first : first + 32]
    assert window.std() > 0.2
    assert ((slab["source_window"] - window).abs() > 1e-3).float().mean() < 2e-3
    pair = torch.stack(
        [slab["source_low"].flatten(), functional.avg_pool3d(cube["source_patch"], 4).flatten()]
    )
    assert torch.corrcoef(pair)[0, 1] > 0.99
