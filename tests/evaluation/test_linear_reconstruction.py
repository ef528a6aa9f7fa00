import numpy as np
import pytest
from sklearn.decomposition import PCA

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.linear_reconstruction import PrincipalComponents, component_names

SCANS = np.random.default_rng(0).random((6, 4, 5, 3), dtype=np.float32)
NEW = np.random.default_rng(1).random((4, 5, 3), dtype=np.float32)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_components_are_those_of_a_principal_component_analysis(count):
    fitted = PCA(count).fit(SCANS.reshape(6, -1))
    expected = fitted.inverse_transform(fitted.transform(NEW.reshape(1, -1)))
    found = PrincipalComponents(SCANS, 8).reconstruct(NEW, count)
    np.testing.assert_allclose(found, expected.reshape(NEW.shape).clip(0, 1), atol=1e-5)


def test_no_component_is_the_mean_and_all_bring_a_training_scan_back():
    linear = PrincipalComponents(SCANS, 8)
    assert linear.count == 5
    np.testing.assert_allclose(linear.reconstruct(NEW, 0), SCANS.mean(0), atol=1e-6)
    np.testing.assert_allclose(linear.reconstruct(SCANS[2], 5), SCANS[2], atol=1e-4)


def test_one_scan_is_refused_and_rows_are_named_by_their_counts():
    with pytest.raises(InputError, match="1 training scans: components need two"):
        PrincipalComponents(SCANS[:1], 1)
    assert component_names([0, 1, 8]) == {
        "mean of the training scans": 0,
        "1 principal component": 1,
        "8 principal components": 8,
    }
