import time

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hagan_clinic.errors import InputError
from hagan_clinic.metrics.image_quality import nmse, psnr, ssim, ssim_map


def images(shape=(24, 30, 27), noise=0.1, dtype=np.float32):
    """A smooth reference on [0, 1] and a noisy prediction of it."""
    rng = np.random.default_rng(7)
    axes = np.meshgrid(*(np.linspace(0, 3, size) for size in shape), indexing="ij")
    reference = 0.5 + 0.5 * np.sin(axes[0] * 2) * np.cos(axes[1] * 3) * np.sin(axes[2] + 1)
    prediction = np.clip(reference + rng.normal(0, noise, shape), 0, 1)
    return prediction.astype(dtype), reference.astype(dtype)


def ball(shape=(24, 30, 27), radius=9.0):
    axes = np.ogrid[tuple(slice(size) for size in shape)]
    squares = sum((axis - size / 2) ** 2 for axis, size in zip(axes, shape, strict=True))
    return squares <= radius**2


def skimage_map(prediction, reference):
    _, similarity = structural_similarity(
        prediction.astype(np.float64),
        reference.astype(np.float64),
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return similarity


def test_psnr_equals_scikit_image():
    prediction, reference = images()
    expected = peak_signal_noise_ratio(reference, prediction, data_range=1)
    assert psnr(prediction, reference) == pytest.approx(expected, abs=1e-5)


def test_psnr_counts_the_region_only():
    reference = np.zeros((4, 4, 4), dtype=np.float32)
    prediction = reference.copy()
    prediction[0] = 0.1
    region = np.zeros(reference.shape, dtype=bool)
    region[0] = True
    assert psnr(prediction, reference, region) == pytest.approx(20, abs=1e-5)
    assert psnr(prediction, reference, ~region) == float("inf")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ssim_map_equals_scikit_image_everywhere(dtype):
    prediction, reference = images(dtype=dtype)
    np.testing.assert_allclose(
        ssim_map(prediction, reference), skimage_map(prediction, reference), atol=1e-5
    )


def test_ssim_equals_the_scikit_image_map_averaged_in_the_mask():
    prediction, reference = images()
    brain = ball()
    expected = skimage_map(prediction * brain, reference * brain)
    assert ssim(prediction, reference, brain) == pytest.approx(expected[brain].mean(), abs=1e-5)


def test_ssim_sees_nothing_outside_the_mask():
    prediction, reference = images()
    brain = ball()
    other = np.where(brain, prediction, 0.77)
    assert ssim(other, reference, brain) == ssim(prediction, reference, brain)
    assert ssim(other, reference) != ssim(prediction, reference)


def test_a_zeroed_tumour_scores_low_in_the_tumour_not_only_in_the_volume():
    _, reference = images()
    brain, tumour = ball(), ball(radius=3.5)
    missed = np.where(tumour, 0, reference)
    in_tumour = ssim_map(missed, reference, brain)[tumour].mean()
    assert in_tumour < 0.4 < 0.8 < ssim(missed, reference, brain)


def test_nmse_is_the_error_over_the_reference_energy():
    prediction, reference = images(dtype=np.float64)
    brain = ball()
    error = prediction - reference
    expected = (error[brain] ** 2).sum() / (reference[brain] ** 2).sum()
    assert nmse(prediction, reference, brain) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", [psnr, ssim, nmse])
def test_the_prediction_is_clipped(metric):
    prediction, reference = images()
    beyond = np.where(prediction > 0.9, 5, np.where(prediction < 0.1, -5, prediction))
    clipped = np.clip(beyond, 0, 1)
    assert metric(beyond, reference) == metric(clipped, reference)


@pytest.mark.parametrize("metric", [psnr, ssim, nmse])
def test_what_cannot_be_measured_is_named(metric):
    prediction, reference = images()
    with pytest.raises(InputError, match=r"shape \(23, 30, 27\).*\(24, 30, 27\)"):
        metric(prediction[1:], reference)
    with pytest.raises(InputError, match="region is empty"):
        metric(prediction, reference, np.zeros(reference.shape))
    with pytest.raises(InputError, match=r"expected \[0, 1\]"):
        metric(prediction, reference * 4095)
    with pytest.raises(InputError, match="mask has shape"):
        metric(prediction, reference, np.ones((2, 2, 2)))
    prediction[3, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        metric(prediction, reference)


def test_nmse_of_a_black_reference_is_refused():
    prediction, reference = images()
    with pytest.raises(InputError, match="zero all over the region"):
        nmse(prediction, np.zeros_like(reference))


def test_ssim_of_a_head_is_quick():
    shape = (128, 160, 128)
    prediction, reference = images(shape)
    brain = ball(shape, radius=48)
    started = time.process_time()
    ssim(prediction, reference, brain)
    assert time.process_time() - started < 2
