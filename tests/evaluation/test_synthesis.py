import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.synthesis import real_folds
from hagan_clinic.evaluation.volume_sets import Resized, VolumeSet


class Given(VolumeSet):
    def __init__(self, volumes):
        super().__init__("given", volumes[0].shape)
        self._volumes = volumes

    def __len__(self):
        return len(self._volumes)

    def volume(self, number):
        return self._volumes[number]


def test_a_fold_has_all_scans_of_a_patient_and_folds_share_none():
    patients = ["a", "a", "b", "c", "c", "d", "e", "f"]
    folds = real_folds(patients, 3, seed=1)
    assert sorted(np.concatenate(folds)) == list(range(8))
    owners = [{patients[number] for number in fold} for fold in folds]
    assert sum(map(len, owners)) == 6


def test_too_few_real_volumes_for_the_folds_are_named():
    with pytest.raises(InputError, match="4 real volumes of 4 patients make no 3 folds"):
        real_folds(list("abcd"), 3, seed=0)


def test_a_set_is_enlarged_by_nearest_neighbour_and_made_smaller_by_means():
    volume = np.random.default_rng(0).random((4, 6, 4), dtype=np.float32)
    (large,) = Resized(Given([volume]), (8, 12, 8))
    np.testing.assert_array_equal(large[::2, ::2, ::2], volume)
    np.testing.assert_array_equal(large[1::2, 1::2, 1::2], volume)
    (small,) = Resized(Given([large]), (4, 6, 4))
    np.testing.assert_allclose(small, volume, rtol=1e-6)
    assert small[0, 0, 0] == pytest.approx(large[:2, :2, :2].mean())
    with pytest.raises(InputError, match="no whole multiple"):
        Resized(Given([volume]), (6, 6, 4))


def test_volumes_are_made_when_they_are_asked_for_and_not_before():
    made = []

    class Counted(Given):
        def volume(self, number):
            made.append(number)
            return super().volume(number)

    volumes = Resized(Counted([np.zeros((2, 2, 2), np.float32)] * 5), (4, 4, 4))
    assert made == []
    volumes[3]
    assert made == [3]
