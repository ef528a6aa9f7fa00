"""Batches that are augmented on CUDA are the CPU's, but for noise."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.queue import slab_loader

DEVICE = "cuda"
SHAPE = (48, 40, 32)
EVERY = AugmentConfig(
    flip=0.5, affine=0.7, anisotropy=0.5, bias_field=0.5, gamma=0.5, noise=0.0, erosion=0.7
)  # fmt: skip

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() and DEVICE == "cuda", reason="PyTorch sees no CUDA device"
    ),
]


@pytest.fixture
def subjects(tmp_path):
    made = []
    for number in range(3):
        head = np.random.default_rng(number).integers(1, 256, SHAPE, dtype=np.uint8)
        brain = np.zeros_like(head)
        brain[8:40, 8:32, 6:26] = 1
        file = tmp_path / f"p{number}.npy"
        np.save(file, np.stack([head, head * brain, head[::-1], brain]))
        made.append(PreparedSubject(file.stem, file.stem, file, 1, 2, True, SHAPE, (1.0,) * 3))
    return made


def batches(subjects, device, augment, **options):
    options |= {"thickness": 16, "halo": 4, "batch_size": 2, "seed": 1}
    return list(islice(slab_loader(subjects, augment=augment, device=device, **options), 6))


@pytest.mark.parametrize("options", [{}, {"resident_share": 0.5}, {"workers": 1}, {"whole": True}])
def test_batches_are_those_of_the_cpu(subjects, options):
    ours = batches(subjects, "cpu", EVERY, **options)
    theirs = batches(subjects, DEVICE, EVERY, **options)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, values in one.items():
            if values.is_floating_point():
                assert other[name].device.type == DEVICE
            # A place half-way between two voxels is nearest to either, by rounding.
            different = (values - other[name].cpu()).abs() > 1e-3
            assert different.float().mean() < 2e-3, name


def test_noise_is_a_function_of_seed_and_number(subjects):
    noisy = replace(EVERY, noise=1.0)
    first, again = (batches(subjects, DEVICE, noisy) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        for name, values in one.items():
            assert torch.equal(values, other[name]), name
