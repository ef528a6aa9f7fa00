"""A textured head that lies obliquely."""

import nibabel as nib
import numpy as np
import pytest

# Oblique, mirrored, anisotropic: nothing that a mistaken axis order would survive.
AFFINE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.2, -0.1, 0.15) @ np.diag([-1.5, 2.5, 2.0]), [80, -110, -60]
)


@pytest.fixture
def make_head():
    """A function that gives a blurred ball of tissue with structure, in scanner units."""

    def made(seed=0, shape=(100, 64, 72)):
        rng = np.random.default_rng(seed)
        places = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) / 2
        radius = np.linalg.norm(places / (np.array(shape).reshape(3, 1, 1, 1) / 2), axis=0)
        texture = np.kron(rng.uniform(300, 900, [n // 4 + 1 for n in shape]), np.ones((4, 4, 4)))
        texture = texture[: shape[0], : shape[1], : shape[2]]
        return np.where(radius < 0.85, texture, 0).astype(np.int16)

    return made


@pytest.fixture
def scan(make_head, tmp_path):
    image = nib.Nifti1Image(make_head(), AFFINE)
    image.set_sform(AFFINE, code=4)
    image.set_qform(AFFINE, code=1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "t1.nii.gz")
    return tmp_path / "t1.nii.gz"
