"""A made-up cohort of heads in two sequences, sound as it is."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

SHAPE = (34, 42, 36)
SPACING = 4.5
GREY = {"t1": (0.55, 0.9, 0.15), "flair": (0.8, 0.6, 0.1)}
"""Of cortex, white matter and ventricles."""


def brain(seed):
    """Cortex 1, white matter 2, ventricles 3, in (R, A, S)."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij"))
    axes = np.array([13, 17, 13]) * rng.uniform(0.92, 1.04, 3)
    warp = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    radius = np.sqrt(np.square(places / axes[:, None, None, None]).sum(0))
    radius += 0.06 * warp / warp.std()  # gyri of its own
    x, y, z = places
    ventricle = np.sqrt((x / 4) ** 2 + ((y + 1) / 7) ** 2 + ((z - 2) / 3.5) ** 2) < 1
    labels = np.zeros(SHAPE, np.uint8)
    labels[radius < 1] = 1
    labels[radius < 0.8] = 2
    labels[(radius < 0.75) & (ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.5) > 0.08)] = 1
    labels[ventricle] = 3
    return labels


def picture(seed, sequence):
    """A scan of that brain, in whole numbers."""
    rng = np.random.default_rng([seed, len(sequence)])
    scale = rng.uniform(400, 900)
    values = np.array([0.0, *GREY[sequence]])[brain(seed)]
    values = ndimage.gaussian_filter(values, 0.5) + (values > 0) * rng.normal(0, 0.04, SHAPE)
    return np.rint(np.clip(values, 0, None) * scale).astype(np.int16)


def save(array, file, shift=0.0):
    file.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([SPACING] * 3 + [1.0])
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(array, affine), file)


@pytest.fixture
def made_up(tmp_path):
    """A folder of twenty subjects, p0 to p19, with masks."""
    folder = tmp_path / "cohort"
    for seed in range(20):
        for sequence in GREY:
            save(picture(seed, sequence), folder / f"p{seed}" / f"p{seed}_{sequence}.nii")
        save((brain(seed) > 0).astype(np.uint8), folder / f"p{seed}" / f"p{seed}_mask.nii")
    return folder
