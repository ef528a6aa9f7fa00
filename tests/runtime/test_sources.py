"""What is read of the scans that a translation starts from."""

import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.sources import read_inputs
from hagan_clinic.volume import Volume


def _read(array):
    volume = Volume(array, np.eye(4))
    return read_inputs({"t1": volume}, None, places=(), allow_contrast=False)


def test_an_image_of_one_value_is_refused_as_empty():
    with pytest.raises(InputError, match="t1: all voxels have the value 7: the image is empty"):
        _read(np.full((9, 10, 11), 7, np.float32))


def test_an_image_with_a_single_other_voxel_is_not_empty():
    array = np.zeros((9, 10, 11), np.float32)
    array[5, 6, 7] = 1
    assert _read(array).volumes[0].array.sum() == 1
