"""Raw volumes by number: volume n of a run is a function of (seed, n) alone."""

import math
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchio as tio
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.averages import averages_of
from hagan_clinic.data.draws import Drawn, draw
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.stored import opened

WITH_AVERAGES = 1.2
"""A volume and its averages, relative to the volume: an eighth more, and a layer around it."""


class VolumeStream(Dataset[tio.Subject]):
    """Raw volumes by number: the endless dataset behind the queue.

    ``stream[n]`` is a subject as ``raw_subject`` makes it, of what is drawn for volume n.

    Args:
        subjects: Prepared.
        augment: Of what is drawn.
        seed: Of the run.
        labels: The class of every subject, if they have one.
        measurements: What every subject was measured to be, if it was.
        regions: The file of every subject's region (``data.region``), if they have one.
        resident: A device on which every volume stays once it has been read.
    """

    def __init__(
        self,
        subjects: Sequence[PreparedSubject],
        augment: AugmentConfig,
        seed: int,
        labels: Sequence[int] | None = None,
        resident: torch.device | None = None,
        *,
        measurements: Sequence[Sequence[float]] | None = None,
        regions: Sequence[Path] | None = None,
    ) -> None:
        self.subjects = subjects
        self.resident = resident
        self.labels = labels
        self.measurements = measurements
        self.regions = regions
        self.augment = augment
        self.seed = seed
        self.opened: dict[int, tuple[Tensor, Tensor]] = {}

    def __getitem__(self, number: int) -> tio.Subject:
        if get_worker_info() is not None:
            # A terminal's Ctrl-C, or a scheduler's end of a job, reaches the workers too; the
            # training saves and ends them.
            for asked in (signal.SIGINT, signal.SIGTERM):
                signal.signal(asked, signal.SIG_IGN)
        epoch, position = divmod(number, len(self.subjects))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.subjects))
        index = int(order[position])
        prepared = self.subjects[index]
        drawn = draw(self.augment, self.seed, number, prepared.channels, prepared.forms)
        label = None if self.labels is None else self.labels[index]
        measurements = None if self.measurements is None else self.measurements[index]
        images, averages = self._form(index, drawn.stripped)
        if self.regions is not None:
            region = torch.from_numpy(opened(self.regions[index], "c"))
            images["region"] = region if self.resident is None else region.to(self.resident)
        return raw_subject(images, averages, drawn, number, prepared.spacing, label, measurements)

    def _form(self, index: int, stripped: bool) -> tuple[dict[str, Tensor], Tensor]:
        """A form of a subject and its area averages, by memory map: only what is cut is read."""
        prepared = self.subjects[index]
        if index not in self.opened:
            files = opened(prepared.file, "c"), averages_of(prepared)
            volume, means = torch.from_numpy(files[0]), torch.from_numpy(files[1])
            if self.resident is not None:
                volume, means = volume.to(self.resident), means.to(self.resident)
            self.opened[index] = volume, means
        volume, means = self.opened[index]
        channels, first = prepared.channels, int(stripped) * prepared.channels
        images = {"source": volume[first : first + channels], "brain": volume[-1:]}
        if prepared.has_target:
            images["target"] = volume[-2:-1]
        if get_worker_info() is not None:
            # What leaves a worker is put into shared memory, which the whole file would fill.
            images = {name: image.clone() for name, image in images.items()}
        each = channels + prepared.has_target
        first = int(stripped) * each
        return images, torch.cat([means[first : first + each], means[-1:]])


def raw_subject(
    images: dict[str, Tensor],
    averages: Tensor,
    drawn: Drawn,
    number: int,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    label: int | None = None,
    measurements: Sequence[float] | None = None,
) -> tio.Subject:
    """What samplers cut: bytes of ``source``, ``target`` (or none) and ``brain``, un-augmented.

    Beside these, and ``region`` if there is one, the subject has ``averages`` of the three, what is
    ``drawn`` for it, its ``number`` and, if it has them, ``label`` and ``measurements``.
    """
    # TorchIO needs a geometry for millimetres and axes, so the array's own axes are the world's.
    affine = np.diag([*spacing, 1.0])
    kinds: dict[str, type[tio.Image]] = {"brain": tio.LabelMap, "region": tio.LabelMap}
    entries: dict[str, Any] = {
        name: kinds.get(name, tio.ScalarImage)(tensor=image, affine=affine)
        for name, image in images.items()
    }
    entries |= {"averages": averages, "drawn": drawn, "number": number}
    if label is not None:
        entries["label"] = label
    if measurements is not None:
        entries["measurements"] = tuple(measurements)
    return tio.Subject(entries)


def fits(subjects: Sequence[PreparedSubject], device: torch.device, share: float) -> bool:
    """Whether all volumes and their averages take at most a share of a GPU's memory."""
    if device.type != "cuda":
        return False
    volumes = (
        (subject.forms * subject.channels + subject.has_target + 1) * math.prod(subject.shape)
        for subject in subjects
    )
    memory = int(torch.cuda.get_device_properties(device).total_memory)
    return sum(volumes) * WITH_AVERAGES <= share * memory
