import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import write
from hagan_clinic.runtime.exploration import MaskMean, ThresholdVolume
from hagan_clinic.volume import Grid, Volume

GRID = Grid((4, 5, 6), np.array([[0, 0, 3, -7], [0, 3, 0, -6], [3, 0, 0, -4], [0, 0, 0, 1.0]]))


def test_the_volume_above_a_threshold_is_in_ml():
    volume = np.zeros((4, 5, 6), np.float32)
    volume[:2] = 0.2
    volume[2, 0, 0] = 0.05
    measure = ThresholdVolume(0.1, (3.0, 3.0, 3.0))
    assert measure(volume) == pytest.approx(60 * 0.027)
    assert (measure.name, measure.unit) == ("volume above 0.1", "ml")


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_outside_the_scale_is_refused(threshold):
    with pytest.raises(InputError, match="threshold"):
        ThresholdVolume(threshold, (1, 1, 1))


@pytest.fixture
def labels(tmp_path):
    """Label 1 in the lowest slice, 2 in the next, written in other axes than the model's."""
    array = np.zeros((4, 5, 6), np.float32)
    array[0], array[1] = 1, 2
    flipped = GRID.affine.copy()
    flipped[:3, 3] += 3 * flipped[:3, 0]
    flipped[:3, 0] *= -1
    path = tmp_path / "labels.nii.gz"
    write(Volume(array[::-1], flipped), path, description="drawn")
    return path


@pytest.mark.parametrize(("label", "expected"), [(1, 0.0), (2, 1.0), (None, 0.5)])
def test_the_mean_is_that_of_the_marked_voxels(labels, label, expected):
    volume = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None, None], (4, 5, 6))
    measure = MaskMean.read(labels, GRID, label)
    assert measure(volume) == expected
    assert "labels.nii.gz" in measure.name


def test_a_label_that_is_not_there_is_named(labels):
    with pytest.raises(InputError, match=r"labels.nii.gz, label 3 marks no voxel"):
        MaskMean.read(labels, GRID, 3)


def test_a_mask_on_another_grid_is_refused(labels):
    moved = GRID.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(InputError, match="does not lie on the model's grid"):
        MaskMean.read(labels, Grid((4, 5, 6), moved))
