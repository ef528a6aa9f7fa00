"""Slabs of anyone's own `tio.Subject`, for a `tio.Queue` and a loop of one's own."""

from collections.abc import Generator, Sequence
from itertools import count
from typing import cast

import torch
import torchio as tio
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab
from hagan_clinic.errors import InputError

BEYOND = 1e-3
"""How far from [-1, 1] interpolation may leave a value."""


class SlabSampler(tio.data.sampler.PatchSampler):
    """A random slab of a subject with its halo, and the low-resolution whole.

    The images are brought to the axes (D, H, W), inferior to superior, posterior to anterior and
    left to right, whatever those of the files. Where slabs start is drawn by PyTorch's generator,
    uniformly over the multiples of 4. What it gives is a dictionary of tensors, not a subject, of
    which PyTorch's own `DataLoader` makes a batch as `TranslationBatch` describes it, or, without
    a target, `SynthesisBatch`.

    Args:
        source: The subject's names of the source images, in channel order; or one name. Float in
            [-1, 1] with the background at -1, on one grid, sides multiples of 16.
        target: Name of the target image, likewise; None for an unconditional model.
        brain: Name of the brain mask, 0 to 1, where the loss counts in full; without it, all that
            is not background in the first source.
        thickness: Slices of a slab, a multiple of 4; an unconditional model's `slab`.
        halo: Real slices on each side that the network sees and the loss does not, a multiple of
            4; 0 for an unconditional model.
        whole: Give the whole source too, as an encoder needs it.

    Raises:
        InputError: A thickness or a halo that is no multiple of 4; and from each subject, an image
            that it lacks, sides that do not fit, or values that are not on [-1, 1].

    Example:
        >>> import torch, torchio as tio
        >>> from hagan_clinic import SlabSampler
        >>> image = tio.ScalarImage(tensor=torch.rand(1, 32, 48, 64) * 2 - 1)
        >>> subject = tio.Subject(mprage=image, dark_fluid=image)
        >>> sampler = SlabSampler("mprage", "dark_fluid", thickness=16, halo=8)
        >>> sample = next(sampler(subject))
        >>> tuple(sample["source_window"].shape), tuple(sample["target_slab"].shape)
        ((1, 32, 48, 32), (1, 16, 48, 32))
        >>> tuple(sample["source_low"].shape), int(sample["slab_start"]) % 4
        ((1, 16, 12, 8), 0)
    """

    def __init__(
        self,
        source: str | Sequence[str],
        target: str | None = None,
        brain: str | None = None,
        *,
        thickness: int = 32,
        halo: int = 8,
        whole: bool = False,
    ) -> None:
        super().__init__(1)  # a patch's size is the subject's, but along D
        if thickness <= 0 or thickness % LOW_RES_FACTOR or halo < 0 or halo % LOW_RES_FACTOR:
            raise InputError(
                f"the slab has {thickness} slices and a halo of {halo}; expected multiples of "
                f"{LOW_RES_FACTOR}"
            )
        self.source = (source,) if isinstance(source, str) else tuple(source)
        self.target = target
        self.brain = brain
        self.thickness = thickness
        self.halo = halo
        self.whole = whole

    def _generate_patches(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        volumes = self.volumes(subject)
        starts = (volumes["source"].shape[1] - self.thickness) // LOW_RES_FACTOR + 1
        numbers = count() if num_patches is None else range(num_patches)
        samples = (
            self.cut(volumes, LOW_RES_FACTOR * int(torch.randint(starts, ()))) for _ in numbers
        )
        # To the queue a patch is whatever is taken out of it again.
        return cast(Generator[tio.Subject], samples)

    def volumes(self, subject: tio.Subject) -> dict[str, Tensor]:
        """`source` (C, D, H, W), and `target` and `brain` (1, D, H, W) where there is a target.

        Raises:
            InputError: An image is missing, or has other sides or values than a network takes.
        """
        names = [*self.source, *(name for name in (self.target, self.brain) if name is not None)]
        if missing := [name for name in names if name not in subject]:
            raise InputError(
                f"the subject has no image {', '.join(missing)}; its images are "
                f"{', '.join(subject.get_images_names())}: name them in SlabSampler"
            )
        canonical = tio.ToCanonical()(tio.Subject({name: subject[name] for name in names}))
        images = {
            name: cast(tio.Image, canonical[name]).data.permute(0, 3, 2, 1).float()
            for name in names
        }
        for name in (*self.source, *([] if self.target is None else [self.target])):
            low, high = float(images[name].min()), float(images[name].max())
            if not (low >= -1 - BEYOND and high <= 1 + BEYOND):
                raise InputError(
                    f"the image {name} has values from {low:g} to {high:g}; expected -1 to 1: "
                    "scale it before, as with tio.RescaleIntensity((-1, 1))"
                )
        source = torch.cat([images[name] for name in self.source])
        shape = tuple(source.shape[1:])
        if shape[0] < self.thickness or any(side % LOW_RES_FACTOR for side in shape):
            raise InputError(
                f"the images have {' x '.join(map(str, shape))} voxels (D, H, W); expected "
                f"multiples of {LOW_RES_FACTOR}, and {self.thickness} slices or more: crop or pad "
                "them before, as with tio.CropOrPad"
            )
        if self.target is None:
            return {"source": source}
        brain = images[self.brain] if self.brain is not None else (source[:1] > -1).float()
        return {"source": source, "target": images[self.target], "brain": brain}

    def cut(self, volumes: dict[str, Tensor], start: int) -> dict[str, Tensor]:
        """The sample of `volumes` whose slab starts at `start`, a multiple of 4."""
        slab = Slab(start, self.thickness)
        window = slab.window(volumes["source"].shape[1], self.halo)
        sample = {
            "slab_start": torch.tensor(slab.start),
            "window_start": torch.tensor(window.start),
            "index": torch.randint(2**62, ()),  # of the noise that an unconditional model draws
        }
        for name, volume in volumes.items():
            # Copied: a view would keep the whole volume in the queue.
            if name == "source":
                sample["source_window"] = window.high(volume).clone()
            else:
                sample[f"{name}_slab"] = slab.high(volume).clone()
            sample[f"{name}_low"] = functional.avg_pool3d(volume, LOW_RES_FACTOR)
        if self.whole:
            sample["source_whole"] = volumes["source"]
        return sample
