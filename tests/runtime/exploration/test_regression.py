import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration.regression import FEWEST_PATIENTS, fit_ridge


def cohort(subjects=60, latent=100, noise=0.3, patients=None, seed=3):
    """Latents of which a few dimensions carry a volume around 1400 ml."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((subjects, latent)).astype(np.float32)
    true = np.zeros(latent)
    true[:3] = (60, -40, 30)
    values = 1400 + latents @ true + noise * 80 * rng.standard_normal(subjects)
    return latents, values, [f"p{n % (patients or subjects)}" for n in range(subjects)]


def test_a_measurement_that_latents_carry_is_found_with_fewer_subjects_than_dimensions():
    latents, values, patients = cohort()
    fit = fit_ridge(latents, values, patients)
    assert fit.r2 > 0.1
    true = np.eye(100)[:3].T @ (60, -40, 30)
    cosine = fit.coefficients @ true / np.linalg.norm(fit.coefficients) / np.linalg.norm(true)
    assert cosine > 0.5
    assert np.corrcoef(latents @ fit.coefficients + fit.intercept, values)[0, 1] > 0.8


def test_an_exact_linear_measurement_of_many_subjects_is_found_exactly():
    latents, values, patients = cohort(subjects=100, latent=8, noise=0)
    fit = fit_ridge(latents, values, patients)
    assert fit.r2 > 0.999
    np.testing.assert_allclose(fit.coefficients, [60, -40, 30, 0, 0, 0, 0, 0], atol=0.2)
    assert fit.intercept == pytest.approx(1400, abs=0.2)


def test_the_coefficients_minimise_the_penalised_squares():
    latents, values, patients = cohort()
    fit = fit_ridge(latents, values, patients)
    x = latents - latents.mean(0, dtype=np.float64)
    penalty = fit.penalty * (x**2).sum() / len(x)
    expected = np.linalg.solve(x.T @ x + penalty * np.eye(100), x.T @ (values - values.mean()))
    np.testing.assert_allclose(fit.coefficients, expected, rtol=1e-6, atol=1e-9)
    assert fit.intercept == pytest.approx(values.mean() - latents.mean(0) @ expected)


def test_a_measurement_that_latents_do_not_carry_has_no_held_out_r2():
    latents, _, patients = cohort()
    noise = np.random.default_rng(11).standard_normal(len(latents))
    assert fit_ridge(latents, noise, patients).r2 <= 0.05


def test_examinations_of_one_patient_never_help_to_predict_each_other():
    """Each patient's value is random but shared by four alike latents: leaking would give R² 1."""
    rng = np.random.default_rng(5)
    own = np.repeat(rng.standard_normal((15, 80)), 4, axis=0)
    values = np.repeat(rng.standard_normal(15), 4)
    patients = [f"p{n // 4}" for n in range(60)]
    assert fit_ridge(own, values, patients).r2 < 0.3
    assert fit_ridge(own, values, [f"e{n}" for n in range(60)]).r2 > 0.9


def test_the_held_out_predictions_and_r2_depend_on_the_seed_alone():
    latents, values, patients = cohort()
    first, again, other = (fit_ridge(latents, values, patients, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.held_out, again.held_out)
    assert first.r2 == again.r2 != other.r2


def test_a_held_out_prediction_does_not_see_its_own_measurement():
    latents, values, patients = cohort(subjects=50, latent=5)
    changed = values.copy()
    changed[7] += 1000
    one, other = (fit_ridge(latents, y, patients).held_out for y in (values, changed))
    assert one[7] == other[7]
    assert np.abs(one - other).max() > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, p: (x[:9], y[:9], p[:9]), f"found 9 patients .* at least {FEWEST_PATIENTS}"),
        (lambda x, y, p: (x, y, ["p1"] * len(y)), "found 1 patients"),
        (lambda x, y, p: (x, np.full_like(y, 3.0), p), "measurements of all 60 subjects are alike"),
        (lambda x, y, p: (np.ones_like(x), y, p), "latents of all 60 subjects are alike"),
        (lambda x, y, p: (x, np.where(y == y[0], np.nan, y), p), "measurements hold NaN"),
    ],
    ids=["few patients", "one patient", "one measurement", "one latent", "NaN"],
)
def test_what_cannot_be_fitted_is_named(change, message):
    with pytest.raises(InputError, match=message):
        fit_ridge(*change(*cohort()))
