"""Augmented volumes by number: volume n of a run is a function of (seed, n) alone."""

import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torchio as tio
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import Dataset, get_worker_info

from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.preparation import BACKGROUND
from hagan_clinic.training.augment import AugmentConfig, augmentation
from hagan_clinic.training.prepared import PreparedSubject


class VolumeStream(Dataset[tio.Subject]):
    """Augmented volumes by number: the endless dataset behind the queue.

    ``stream[n]`` is a subject with the images ``source`` (C, D, H, W), ``target`` and ``brain``
    (1, D, H, W), their area averages ``source_low``, ``target_low``, ``brain_low`` at a quarter
    of the resolution, ``number`` = n, and ``label`` if the subjects have one each.
    """

    def __init__(
        self,
        subjects: Sequence[PreparedSubject],
        augment: AugmentConfig,
        seed: int,
        labels: Sequence[int] | None = None,
    ) -> None:
        self.subjects = subjects
        self.labels = labels
        self.augment = augment
        self.transform = augmentation(augment)
        self.seed = seed

    def __getitem__(self, number: int) -> tio.Subject:
        if get_worker_info() is not None:
            # A terminal's Ctrl-C, or a scheduler's end of a job, reaches the workers too; the
            # training saves and ends them.
            for asked in (signal.SIGINT, signal.SIGTERM):
                signal.signal(asked, signal.SIG_IGN)
        epoch, position = divmod(number, len(self.subjects))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.subjects))
        prepared = self.subjects[int(order[position])]
        with _seeded(self.seed, number):
            stripped = prepared.forms == 2 and random.random() < self.augment.stripped
            subject = self.transform(_subject(prepared, stripped))
            tighter = stripped and random.random() < self.augment.erosion
            voxels = random.randint(1, self.augment.erosion_voxels) if tighter else 0
        if stripped:
            _erode(subject.brain, voxels)
            _strip(subject)  # again: interpolation has smeared the edge of the brain
        label = None if self.labels is None else self.labels[int(order[position])]
        return completed(subject, number, label)


def completed(subject: tio.Subject, number: int, label: int | None = None) -> tio.Subject:
    """The subject with what samplers need beside its images: area averages, number and class."""
    for name, image in subject.get_images_dict(intensity_only=False).items():
        subject[f"{name}_low"] = functional.avg_pool3d(image.data.float(), LOW_RES_FACTOR)
    subject["number"] = number
    if label is not None:
        subject["label"] = label
    return subject


def _subject(prepared: PreparedSubject, stripped: bool) -> tio.Subject:
    source, target, brain = prepared.load(stripped)
    # TorchIO needs a geometry for millimetres and axes, so the array's own axes are the world's.
    affine = np.diag([*prepared.spacing, 1.0])

    def image(kind: type[tio.Image], array: NDArray[Any]) -> tio.Image:
        return kind(tensor=torch.from_numpy(array), affine=affine)

    images = {"source": image(tio.ScalarImage, source), "brain": image(tio.LabelMap, brain)}
    if target is not None:
        images["target"] = image(tio.ScalarImage, target)
    return tio.Subject(images)


def _erode(mask: tio.LabelMap, voxels: int) -> None:
    """Take so many layers of voxels off a mask (1, D, H, W) of 0 and 1."""
    outside = 1 - mask.data.float()
    for _ in range(voxels):
        outside = functional.max_pool3d(outside, 3, stride=1, padding=1)
    mask.set_data((1 - outside).to(mask.data.dtype))


def _strip(subject: tio.Subject) -> None:
    for image in subject.get_images(intensity_only=True):
        image.set_data(image.data.masked_fill(subject.brain.data == 0, BACKGROUND))


@contextmanager
def _seeded(seed: int, number: int) -> Iterator[None]:
    """Random numbers of (seed, number) for TorchIO, and the caller's own afterwards."""
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence((seed, number)).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(words[0])
    # Not torch.manual_seed, which would seed the CUDA generators too.
    torch.default_generator.manual_seed(int(words[0]) << 32 | int(words[1]))
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
