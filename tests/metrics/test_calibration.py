import numpy as np
import pytest
from scipy.stats import spearmanr

from hagan_clinic.errors import InputError
from hagan_clinic.metrics import coverage, error_rank_correlation, interval_factor
from hagan_clinic.metrics.calibration import LEVELS, reliability


def laplace_subject(seed, size=40_000):
    """Errors drawn from the very scales that are stated."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.02, 0.2, size)
    return rng.laplace(0, scale), scale


def test_laplace_errors_get_the_laplace_quantile_of_so_many_patients():
    # P(|e| <= k b) = 1 - exp(-k) for a Laplace scale b.
    factor = interval_factor((f"p{seed}", *laplace_subject(seed)) for seed in range(20))
    assert factor == pytest.approx(-np.log(1 - 0.9 * 21 / 20), rel=0.02)


def test_few_patients_ask_for_no_more_than_99_percent():
    factor = interval_factor((f"p{seed}", *laplace_subject(seed)) for seed in range(2))
    assert factor == pytest.approx(-np.log(0.01), rel=0.05)


def test_a_new_patient_is_covered_in_the_mean_though_patients_differ():
    """Each patient's errors are larger or smaller than stated by a factor of its own."""
    rng = np.random.default_rng(5)

    def patient(number):
        error, scale = laplace_subject(number, size=500)
        return f"p{number}", error * rng.lognormal(0, 0.5), scale

    held = []
    for first in range(0, 3000, 15):
        *calibration, (_, error, scale) = map(patient, range(first, first + 15))
        held.append(coverage(error, interval_factor(calibration) * scale))
    spread = np.std(held) / np.sqrt(len(held))
    assert 0.9 - 2 * spread < np.mean(held) < 0.97


def test_patients_weigh_the_same_whatever_their_brain_and_number_of_images():
    certain = ("a", np.full(10, 0.1), np.ones(10))
    wild = ("b", np.full(100_000, 5.0), np.ones(100_000))
    for images in ([certain, wild], [certain, certain, certain, wild]):
        assert interval_factor(images, level=0.32) == pytest.approx(0.1)
        assert interval_factor(images, level=0.34) == pytest.approx(5.0)


def test_coverage_counts_errors_within_the_half_width_on_both_sides():
    error = np.array([-2.0, -1.0, 0.5, 3.0])
    assert coverage(error, np.ones(4)) == 0.5


def test_rank_correlation_is_one_for_uncertainty_that_orders_the_errors():
    error = np.array([0.1, -0.4, 0.2, -0.9])
    assert error_rank_correlation(error, np.abs(error) ** 3 + 1) == pytest.approx(1)
    assert error_rank_correlation(error, 2 - np.abs(error)) == pytest.approx(-1)
    assert np.isnan(error_rank_correlation(error, np.ones(4)))


def test_what_cannot_be_calibrated_is_named():
    with pytest.raises(InputError, match="no calibration patient"):
        interval_factor([])
    with pytest.raises(InputError, match="positive"):
        interval_factor([("a", np.ones(3), np.array([1.0, 0.0, 1.0]))])
    with pytest.raises(InputError, match="no voxel"):
        coverage(np.empty(0), np.empty(0))
    with pytest.raises(InputError, match=r"\(3,\).*\(2,\)"):
        error_rank_correlation(np.ones(3), np.ones(2))


def test_rank_correlation_is_scipys_with_ties():
    rng = np.random.default_rng(5)
    error = rng.normal(0, 1, 5000)
    width = np.round(np.abs(error) + rng.uniform(0.1, 2, 5000), 1)  # many ties
    expected = spearmanr(np.abs(error), width).statistic
    assert error_rank_correlation(error, width) == pytest.approx(expected, abs=1e-9)


def test_intervals_of_laplace_errors_hold_what_they_claim_at_every_level():
    error, scale = laplace_subject(3)
    held = reliability(error, scale * -np.log(0.1))
    np.testing.assert_allclose(held, LEVELS, atol=0.01)
    assert held[LEVELS.index(0.9)] == coverage(error, scale * -np.log(0.1))
    assert (reliability(error, scale)[:-1] < np.array(LEVELS)[:-1] - 0.02).all()
