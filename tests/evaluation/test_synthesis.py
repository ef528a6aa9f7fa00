import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.synthesis import REAL, evaluate_synthesis, real_folds
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


class GivenFeatures:
    """In place of a network and its cache: the mean of each side of a volume."""

    def all(self, volumes, step):
        return np.array([[volume[:8].mean(), volume[8:].mean()] for volume in volumes], float)


def of_means(rng, means, name):
    """Volumes of noise with such means of their two sides."""
    volumes = rng.random((len(means), 16, 16, 16), dtype=np.float32) * 0.01
    volumes += np.repeat(np.asarray(means, np.float32), 8, axis=1)[:, :, None, None]
    given = Given(list(volumes))
    given.name = name
    return given


def test_coverage_shows_a_kind_of_patients_that_is_never_made_at_the_number_of_its_floor():
    rng = np.random.default_rng(0)
    common, rare = rng.normal(0.3, 0.02, (64, 2)), rng.normal(0.7, 0.02, (32, 2))
    real = of_means(rng, [*common[:32], *rare[:16]], "real")
    both = of_means(rng, [*common[32:], *rare[16:]], "both")
    only = of_means(rng, common[16:], "only")
    patients = [f"p{number}" for number in range(48)]
    found = evaluate_synthesis(
        real, [both, only], GivenFeatures(), patients=patients, folds=2, pairs=1, seed=0
    )
    assert [row.name for row in found.rows] == [REAL, "both", "only"]
    assert {row.half for row in found.rows} == {24}
    floor, whole, part = (np.mean(row.halves["coverage"]) for row in found.rows)
    assert floor == pytest.approx(1 - 2**-5, abs=0.03)
    assert whole == pytest.approx(floor, abs=0.04)
    assert part == pytest.approx(floor * 2 / 3, abs=0.05)
    few = evaluate_synthesis(
        real, [Given(list(both)[:5])], GivenFeatures(), patients=patients, folds=2, pairs=1, seed=0
    )
    assert "coverage" not in few.rows[0].halves  # of five volumes none has five neighbours


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
