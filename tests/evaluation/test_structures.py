import math

import numpy as np
import pytest

from hagan_clinic.evaluation.structures import STRUCTURES, structure_volumes
from hagan_clinic.imageio import read
from hagan_clinic.volume import to_canonical

SPACING = (3.0, 3.0, 3.0)


def ball(radius):
    """A ball of a radius in mm, in a box of 64 cubed."""
    axes = np.meshgrid(*[3.0 * (np.arange(64) - 31.5)] * 3, indexing="ij")
    return sum(axis**2 for axis in axes) < radius**2


def phantom(ventricle):
    """Brighter tissue in layers, with fluid in the middle."""
    axes = np.indices((64, 64, 64)) // 3
    image = np.where(ball(75), np.where(axes.sum(0) % 2, 0.8, 0.6), 0)
    image[ball(ventricle)] = 0.1
    return image.astype(np.float32)


def ml_of_ball(radius):
    return 4 / 3 * math.pi * radius**3 / 1000


@pytest.mark.parametrize("ventricle", [12, 18, 24])
def test_a_brain_and_its_ventricle_have_the_volumes_they_were_drawn_with(ventricle):
    image = phantom(ventricle)
    slope = np.linspace(0.6, 1, 64, dtype=np.float32)[:, None, None]  # as beside a surface coil
    for seen in (image, image * slope):
        found = structure_volumes(seen, SPACING)
        assert found["brain"] == pytest.approx(ml_of_ball(75), rel=0.03)
        assert found["deep fluid"] == pytest.approx(ml_of_ball(ventricle), rel=0.1)
        assert found["fluid"] + found["darker tissue"] + found["brighter tissue"] == pytest.approx(
            found["brain"]
        )
        assert found["brighter tissue"] == pytest.approx(found["brain"] / 2, rel=0.15)


def test_an_empty_volume_has_no_structures():
    assert structure_volumes(np.zeros((32, 32, 32), np.float32), SPACING) == dict.fromkeys(
        STRUCTURES, 0.0
    )


def test_a_real_brain_has_the_volume_of_its_mask(test_data):
    folder = test_data / "pairs_1mm"
    scan = to_canonical(read(folder / "OPENMS-patient07" / "OPENMS-patient07_t1.nii.gz"))
    image = np.clip(scan.array / np.percentile(scan.array[scan.array > 0], 99.5), 0, 1)
    coarse = image[::2, ::2, ::2].astype(np.float32)
    found = structure_volumes(coarse, (2.0, 2.0, 2.0))
    assert found["brain"] == pytest.approx(np.count_nonzero(coarse > 0) * 0.008, rel=0.06)
    assert 0.03 < found["deep fluid"] / found["fluid"] < 0.5
    assert 0.05 < found["fluid"] / found["brain"] < 0.35
