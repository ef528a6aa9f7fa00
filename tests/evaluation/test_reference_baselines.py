import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation import fit_curve, oracle_linear_fit
from hagan_clinic.metrics import psnr


def test_the_curve_recovers_a_voxelwise_relation():
    source = np.random.default_rng(1).random(200_000)
    curve = fit_curve([(source, 1 - source**2)])
    probe = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(curve(probe), 1 - probe**2, atol=0.01)
    assert curve.constant == pytest.approx(2 / 3, abs=0.01)


def test_patients_weigh_the_same_whatever_the_size_of_their_brain():
    small = (np.full(10, 0.3), np.zeros(10))
    large = (np.full(1_000, 0.3), np.ones(1_000))
    assert fit_curve([small, large]).constant == pytest.approx(0.5)


def test_the_curve_is_flat_beyond_the_values_seen():
    curve = fit_curve([(np.array([0.4, 0.6]), np.array([0.2, 0.8]))])
    np.testing.assert_allclose(curve(np.array([0.0, 1.0])), [0.2, 0.8], atol=1e-6)


def test_a_fit_without_patients_or_voxels_is_refused():
    with pytest.raises(InputError, match="no training patient"):
        fit_curve([])
    with pytest.raises(InputError, match="no voxel"):
        fit_curve([(np.empty(0), np.empty(0))])


def test_the_oracle_undoes_a_linear_change_of_contrast_in_the_mask_only():
    reference = np.random.default_rng(2).uniform(0.2, 0.7, (6, 7, 8))
    prediction = (reference - 0.1) / 0.8
    mask = np.zeros(reference.shape, dtype=bool)
    mask[1:5] = True
    fitted = oracle_linear_fit(prediction, reference, mask)
    assert psnr(fitted, reference, mask) > 100
    np.testing.assert_array_equal(fitted[~mask], prediction[~mask].astype(np.float32))
