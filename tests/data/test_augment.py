from dataclasses import fields

import pytest

from hagan_clinic.data.augment import PROBABILITIES, STRENGTHS, AugmentConfig
from hagan_clinic.errors import InputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: value}, f"{name} is {value}: expected a probability")
          for name in PROBABILITIES for value in (-0.1, 1.5, float("nan"))),
        *(({name: value}, f"{name} is {value}: expected 0 or more")
          for name in STRENGTHS for value in (-0.1, float("inf"))),
        ({"scale": 1.0}, "scale is 1.0: expected less than 1"),
        ({"degrees": 31.0}, "degrees is 31.0: expected at most 30"),
        ({"erosion_voxels": 0}, "erosion_voxels is 0: expected at least 1"),
        ({"thickness": (3.0, 1.5)}, r"thickness is \(3.0, 1.5\): expected two multiples"),
        ({"thickness": (0.5, 1.5)}, "thickness"),
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_named(changes, message):
    with pytest.raises(InputError, match=f"augment: {message}"):
        AugmentConfig(**changes)


def test_every_probability_and_strength_is_checked():
    checked = {*PROBABILITIES, *STRENGTHS, "erosion_voxels", "thickness"}
    assert checked == {field.name for field in fields(AugmentConfig)}
