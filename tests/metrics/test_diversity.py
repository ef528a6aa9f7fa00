import numpy as np
import pytest
import torch
from monai.metrics.regression import compute_ms_ssim
from scipy import ndimage

from hagan_clinic.errors import InputError
from hagan_clinic.metrics.diversity import (
    coverage,
    maximum_mean_discrepancy,
    pairwise_ms_ssim,
)
from hagan_clinic.metrics.similarity import UNIFORM, scale_weights


def texture(seed, side=32):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((side,) * 3), 1.5)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize("side", [7, 13, 16, 32, 48, 56, 60, 62])
def test_identical_volumes_are_alike_to_one(side):
    volume = texture(0, side)
    assert pairwise_ms_ssim([volume] * 3, 3, seed=0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("side", "scales"), [(13, 1), (27, 2), (32, 3), (65, 4)])
def test_the_similarity_of_a_pair_is_that_of_monai(side, scales):
    one = texture(0, side)
    other = 0.7 * one + 0.3 * texture(1, side)
    weights = scale_weights(side, UNIFORM)
    assert len(weights) == scales
    expected = compute_ms_ssim(
        *(torch.from_numpy(volume)[None, None] for volume in (one, other)),
        spatial_dims=3,
        kernel_type="uniform",
        kernel_size=UNIFORM.side,
        weights=weights,
    )
    assert pairwise_ms_ssim([one, other], 1, seed=0) == pytest.approx(float(expected), abs=1e-4)


def test_the_more_alike_volumes_are_the_higher_is_their_similarity():
    base = texture(0)
    noisy = [
        pairwise_ms_ssim([base, (1 - share) * base + share * texture(1)], 1, seed=0)
        for share in (0.05, 0.3, 1.0)
    ]
    assert 0.95 < noisy[0] < 1
    assert noisy[0] > noisy[1] + 0.05 > noisy[2] + 0.1


def test_collapsed_samples_are_told_from_diverse_ones():
    diverse = [texture(seed) for seed in range(4)]
    collapsed = [0.9 * diverse[0] + 0.1 * other for other in diverse]
    assert pairwise_ms_ssim(collapsed, 6, 0) > pairwise_ms_ssim(diverse, 6, 0) + 0.3


def test_pairs_are_drawn_by_the_seed():
    volumes = [texture(seed, 16) for seed in range(5)]
    one, again, other = (pairwise_ms_ssim(volumes, 2, seed) for seed in (1, 1, 2))
    assert one == again != other
    every = pairwise_ms_ssim(volumes, 10, 1)
    assert every == pairwise_ms_ssim(volumes, 99, 2)


def test_too_few_or_too_small_volumes_are_named():
    with pytest.raises(InputError, match="found 1 volumes: expected at least two"):
        pairwise_ms_ssim([texture(0)], 1, 0)
    with pytest.raises(InputError, match="sides of 6 voxels: expected at least 7"):
        pairwise_ms_ssim([np.zeros((6, 8, 8), np.float32)] * 2, 1, 0)


def rows(seed, count=200, shift=0.0):
    return np.random.default_rng(seed).standard_normal((count, 5)) + shift


def test_samples_of_one_distribution_have_no_discrepancy():
    values = [maximum_mean_discrepancy(rows(seed), rows(seed + 100)) for seed in range(20)]
    assert abs(np.mean(values)) < 2e-3  # unbiased
    assert max(map(abs, values)) < 0.02
    assert min(values) < 0 < max(values)


def test_a_shift_is_a_discrepancy_that_grows_with_it():
    values = [maximum_mean_discrepancy(rows(0, shift=by), rows(1)) for by in (0.0, 0.3, 1.0)]
    assert values[0] < 0.01 < values[1] < values[2]
    collapsed = np.repeat(rows(0, 1), 200, axis=0)
    assert maximum_mean_discrepancy(collapsed, rows(1)) > 0.3


def test_the_discrepancy_is_its_definition():
    one, other = rows(0, 4), rows(1, 6)

    def squared(a, b):
        return float(((a - b) ** 2).sum())

    distances = [squared(other[i], other[j]) for i in range(6) for j in range(i)]
    width = np.median(distances)

    def kernel(a, b):
        return np.exp(-squared(a, b) / width)

    within = np.mean([kernel(one[i], one[j]) for i in range(4) for j in range(4) if i != j])
    theirs = np.mean([kernel(other[i], other[j]) for i in range(6) for j in range(6) if i != j])
    between = np.mean([kernel(a, b) for a in one for b in other])
    expected = within + theirs - 2 * between
    assert maximum_mean_discrepancy(one, other) == pytest.approx(expected)


def test_too_few_rows_or_equal_ones_are_named():
    with pytest.raises(InputError, match="found 1 and 5 volumes: expected two or more each"):
        maximum_mean_discrepancy(rows(0, 1), rows(1, 5))
    with pytest.raises(InputError, match="are all alike"):
        maximum_mean_discrepancy(rows(0), np.ones((5, 5)))


def test_coverage_of_two_draws_from_one_distribution_is_what_chance_gives():
    rng = np.random.default_rng(0)
    found = coverage(rng.standard_normal((600, 3)), rng.standard_normal((600, 3)), nearest=3)
    assert found == pytest.approx(1 - 2**-3, abs=0.04)


def test_coverage_falls_by_the_share_of_a_mode_that_is_never_made():
    rng = np.random.default_rng(1)
    real = rng.standard_normal((400, 2))
    real[:100] += 50
    assert coverage(rng.standard_normal((800, 2)), real) == pytest.approx(0.75, abs=0.02)
    assert coverage(np.zeros((400, 2)), real) < 0.1  # one volume for all


def test_coverage_of_too_few_rows_is_refused():
    with pytest.raises(InputError, match="found 3 made and 5 real volumes"):
        coverage(np.zeros((3, 2)), np.zeros((5, 2)))
