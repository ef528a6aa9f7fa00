import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.halves import Halves
from hagan_clinic.metrics.frechet import frechet_distance

PATIENTS = [f"p{number // 2}" for number in range(40)]


def test_halves_share_no_patient_and_have_one_size():
    halves = Halves.of(PATIENTS, 15, seed=0)
    assert halves.size == 15
    for one, other in halves.pairs:
        assert len(one) == len(other) == 15
        assert not {PATIENTS[scan] for scan in one} & {PATIENTS[scan] for scan in other}
    assert len({tuple(one) for one, _ in halves.pairs}) == len(halves.pairs)


def test_volumes_like_the_real_ones_come_to_the_floor_whatever_their_number():
    rng = np.random.default_rng(0)
    real, like, unlike = (rng.standard_normal((count, 30)) for count in (40, 200, 200))
    for most in (8, 20):
        halves = Halves.of(PATIENTS, most, seed=0)
        floor = np.mean(halves.floor(frechet_distance, real))
        assert np.mean(halves.against(frechet_distance, like, real)) == pytest.approx(
            floor, rel=0.1
        )
        assert np.mean(halves.against(frechet_distance, 2 * unlike, real)) > 1.5 * floor
    # At other numbers they are not alike, which is why the floor is taken at one.
    assert frechet_distance(like, real) < 0.7 * floor


def test_too_few_patients_for_halves_are_named():
    with pytest.raises(InputError, match="3 real volumes of 3 patients: expected halves"):
        Halves.of(["a", "b", "c"], 3, seed=0)
