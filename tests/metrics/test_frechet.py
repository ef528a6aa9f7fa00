import numpy as np
import pytest
import torch
from monai.metrics.fid import get_fid_score
from scipy.linalg import sqrtm

from hagan_clinic.errors import InputError
from hagan_clinic.metrics.frechet import frechet_distance


def rows(seed, count, features=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, features)) @ rng.standard_normal((features, features)) + 1


def test_it_is_the_distance_by_the_square_root_of_the_covariances():
    one, other = rows(0, 40), rows(1, 50)
    first, second = np.cov(one.T), np.cov(other.T)
    shift = one.mean(0) - other.mean(0)
    root = np.real(sqrtm(first @ second))
    expected = shift @ shift + np.trace(first + second - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected, abs=1e-5)


def test_it_is_monais():
    one, other = rows(2, 60), rows(3, 60)
    expected = float(get_fid_score(torch.from_numpy(one), torch.from_numpy(other)))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)


def test_it_is_exact_with_fewer_volumes_than_features():
    one, other = rows(4, 5, 50), rows(5, 7, 50)
    first, second = np.cov(one.T), np.cov(other.T)
    # The root's trace by the eigenvalues of the product, which has no full rank.
    values = np.linalg.eigvals(first @ second)
    root = np.sqrt(np.clip(values.real, 0, None)).sum()
    shift = one.mean(0) - other.mean(0)
    expected = shift @ shift + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)


def test_equal_sets_have_none_and_a_shift_counts_squared():
    one = rows(6, 30)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one + 2.0) == pytest.approx(4 * 6, rel=1e-9)


def test_too_few_volumes_are_named():
    with pytest.raises(InputError, match="found 1 and 3 volumes"):
        frechet_distance(rows(0, 1), rows(1, 3))
