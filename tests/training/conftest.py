"""A small cohort of brain-like volumes at 6 mm."""

import csv
import subprocess

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory):
    """Ten subjects of 26x32x26 voxels; FLAIR is a smooth function of T1 and of the place."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(5)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (26, 32, 26)), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 0.8
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    for number in range(10):
        texture = ndimage.gaussian_filter(rng.standard_normal(brain.shape), 1.5)
        t1 = np.where(brain, 100 + 150 * texture / np.abs(texture).max(), 0)
        flair = np.where(brain, 220 - 0.8 * t1 + 30 * axes[2], 0)
        subject = folder / f"p{number}"
        subject.mkdir()
        for name, image in {"t1": t1, "flair": flair}.items():
            nib.save(
                nib.Nifti1Image(image.astype(np.int16), affine),
                subject / f"p{number}_{name}.nii.gz",
            )
    return folder


@pytest.fixture(scope="session")
def tiny_settings(small_cohort):
    """Settings that train on the small cohort in seconds."""
    return {
        "data": str(small_cohort),
        "steps": 4,
        "batch_size": 1,
        "spacing": 6.0,
        "slab": 16,
        "halo": 4,
        "half_width": 8,
        "quarter_width": 16,
        "workers": 0,
        "device": "cpu",
        "validate_every": 4,
        "checkpoint_every": 2,
        "adversarial_start": 0.25,
    }


@pytest.fixture
def remount_read_only():
    """The function that makes a mounted file system read-only."""

    def remount(folder):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    return remount


@pytest.fixture(scope="session")
def logged():
    """A function that gives a run's values of one name, with their steps."""

    def values(folder, name):
        with (folder / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["name"] == name]
        return [(int(row["step"]), float(row["value"])) for row in rows]

    return values
