import math
from pathlib import Path

import numpy as np
import pytest

from hagan_clinic.data.measurements import standard_scores
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError


def subjects(*values):
    return [
        Subject(f"p{number}", f"p{number}", {"t1": Path("t1.nii.gz")}, values={"ml": value})
        for number, value in enumerate(values)
    ]


def test_scores_are_of_logarithms_with_a_mean_of_0_and_a_spread_of_1():
    scores = np.array(standard_scores(subjects("10", "100", "1000"), ["ml"]))[:, 0]
    assert scores == pytest.approx([-math.sqrt(1.5), 0, math.sqrt(1.5)])


def test_an_empty_cell_is_not_measured():
    scores = standard_scores(subjects("10", "", "1000"), ["ml"])
    assert math.isnan(scores[1][0]) and scores[0] == pytest.approx([-1])


def test_without_columns_there_are_none():
    assert standard_scores(subjects("1"), []) is None


@pytest.mark.parametrize(
    ("values", "column", "message"),
    [
        (("1", "2"), "age", "no column 'age'"),
        (("1", "-2"), "ml", "p1 has '-2' in ml: expected a positive number"),
        (("1", "old"), "ml", "p1 has 'old' in ml"),
        (("3", "3"), "ml", "ml has 1 different values in 2 subjects"),
        (("3", ""), "ml", "ml has 1 different values in 2 subjects"),
    ],
)
def test_what_cannot_be_learnt_is_named(values, column, message):
    with pytest.raises(InputError, match=message):
        standard_scores(subjects(*values), [column])
