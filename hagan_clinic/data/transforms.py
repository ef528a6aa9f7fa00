"""The package's preparation as a TorchIO transform, for pipelines of one's own.

    transform = tio.Compose([chest_ct(spacing=2.0), tio.RandomFlip(axes=(2,))])
    prepared = transform(tio.Subject(ct=tio.ScalarImage("chest.nii.gz")))

It is what ``hagan-clinic train`` does to a volume, the skull's removal by a mask included, so
spacing and affine stay with the image: the result lies in the world where the scan does.
"""

from collections.abc import Sequence

import torch
import torchio as tio

from hagan_clinic.preparation import prepare, stripped
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import Volume

LUNG_WINDOW_HU = (-1024.0, 600.0)
"""The paper's window of chest CT."""


class Prepare(tio.Transform):
    """Orient, resample, scale to [-1, 1] and crop every intensity image of a subject.

    Images come out as (1, D, H, W), D from inferior to superior, H from posterior to anterior, W
    from left to right, with an affine that says so. A label map named ``mask`` is the brain mask:
    the box is centred on it, and what lies outside becomes background. All label maps are brought
    to the grid of the first image.

    Args:
        recipe: with one source; applied to each image by itself.

    Raises:
        InputError: from the transform, as ``preparation.prepare``.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Prepare the subject's images in place."""
        mask = subject.get_images_dict(intensity_only=False).get("mask")
        brain = None if mask is None else Volume(mask.numpy()[0], mask.affine)
        images = subject.get_images_dict(intensity_only=True)
        for image in images.values():
            source = Volume(image.numpy()[0], image.affine)
            if brain is not None and brain.shape == source.shape:
                source = stripped(source, brain.array > 0.5, self.recipe)
            prepared = prepare([source], self.recipe, mask=brain, mask_window=False)
            image.set_data(torch.from_numpy(prepared.array))
            image.affine = prepared.grid.affine
        labels = [
            name for name in subject.get_images_dict(intensity_only=False) if name not in images
        ]
        if images and labels:
            subject = tio.Resample(next(iter(images)), include=labels)(subject)
        return subject


def brain_mr(spacing: float = 1.5, size: Sequence[int] = ()) -> Prepare:
    """Brain MR: percentiles of the brain become -1 and 1.

    Args:
        spacing: mm.
        size: (D, H, W) of the box around the brain; the whole head with a margin when empty.
    """
    return Prepare(_recipe(spacing, size))


def chest_ct(
    spacing: float = 2.0, size: Sequence[int] = (), window: tuple[float, float] = LUNG_WINDOW_HU
) -> Prepare:
    """Chest CT: a window in HU becomes -1 and 1, and slices without a body are trimmed.

    Args:
        spacing: mm.
        size: (D, H, W) of the box around the body; as large as the body when empty.
        window: HU.
    """
    return Prepare(_recipe(spacing, size, window))


def _recipe(spacing: float, size: Sequence[int], window: tuple[float, ...] = ()) -> Recipe:
    return Recipe(
        sources=("image",),
        target="",
        spacing=(spacing,) * 3,
        multiple=1,
        halo=0,
        interval_factor=0.0,
        box=tuple(size),
        window=window,
        margin_mm=0.0 if window else Recipe.margin_mm,
    )
