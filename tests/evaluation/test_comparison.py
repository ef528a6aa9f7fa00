import numpy as np
import pytest
from scipy.stats import ttest_rel

from hagan_clinic.evaluation.comparison import compare


def values(seed=0, count=12):
    rng = np.random.default_rng(seed)
    base = rng.normal(17, 2, count)
    better = base + rng.normal(0.3, 0.4, count)
    return {
        "a": {str(number): value for number, value in enumerate(base)},
        "b": {str(number): value for number, value in enumerate(better)},
    }


@pytest.mark.parametrize(("figure", "winner", "side"), [("psnr", "b", "greater"),
                                                        ("nmse", "a", "less")])  # fmt: skip
def test_the_better_mean_names_the_side_of_the_test(figure, winner, side):
    given = values()
    found = compare(figure, given, "a", "b")
    assert found.better == winner
    expected = ttest_rel(
        list(given[found.better].values()), list(given[found.worse].values()), alternative=side
    )
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert found.p < 0.5
    assert found == compare(figure, given, "b", "a")


def test_pairs_are_matched_by_patient_and_not_by_place():
    given = values()
    shuffled = {"a": given["a"], "b": dict(reversed(given["b"].items()))}
    assert compare("psnr", shuffled, "a", "b").p == pytest.approx(
        compare("psnr", given, "a", "b").p
    )


def test_one_pair_is_no_test_and_what_is_not_finite_is_left_out():
    assert compare("psnr", values(count=1), "a", "b") is None
    given = values(count=5)
    given["a"]["2"] = float("inf")
    assert compare("psnr", given, "a", "b").n == 4


def test_equal_models_have_no_t():
    given = values()
    found = compare("psnr", {"a": given["a"], "b": given["a"]}, "a", "b")
    assert found.difference == 0
    assert np.isnan(found.p)
