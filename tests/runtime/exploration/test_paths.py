import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration import Direction, spherical_path, straight_path


def latent(seed, length=64):
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


DIRECTION = Direction("ab", "brain_ml", 20 * latent(9).astype(np.float64), 1400.0, 0.3, 1400, 90)


@given(st.integers(0, 99), st.floats(900, 1900), st.integers(2, 9))
def test_a_walk_ends_at_its_target_in_even_steps_of_the_prediction(seed, target, steps):
    start = latent(seed)
    path = straight_path(start, DIRECTION, target, steps)
    np.testing.assert_array_equal(path[0], start)
    expected = np.linspace(DIRECTION.predict(start[None])[0], target, steps)
    np.testing.assert_allclose(DIRECTION.predict(path), expected, atol=0.05)


def test_no_latent_with_the_targets_prediction_is_nearer_than_the_walks_end():
    start, target = latent(1), 1700.0
    end = straight_path(start, DIRECTION, target, 5)[-1]
    shortest = np.linalg.norm(end - start)
    w = DIRECTION.coefficients / np.linalg.norm(DIRECTION.coefficients)
    for seed in range(20):
        aside = latent(seed + 100).astype(np.float64)
        other = end + 0.1 * (aside - (aside @ w) * w)
        assert DIRECTION.predict(other[None])[0] == pytest.approx(target, abs=0.05)
        assert np.linalg.norm(other - start) > shortest


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_a_walk_needs_a_finite_target(target):
    with pytest.raises(InputError, match="finite"):
        straight_path(latent(0), DIRECTION, target, 5)


@given(st.integers(0, 50), st.integers(51, 99), st.integers(2, 9))
def test_interpolation_begins_and_ends_at_its_latents_and_turns_evenly(one, other, steps):
    start, end = latent(one), 1.3 * latent(other)
    path = spherical_path(start, end, steps).astype(np.float64)
    np.testing.assert_allclose(path[0], start, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(path[-1], end, rtol=1e-5, atol=1e-6)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(np.diff(lengths, 2), 0, atol=1e-5)
    units = path / lengths[:, None]
    angles = np.arccos(np.clip((units[1:] * units[:-1]).sum(1), -1, 1))
    np.testing.assert_allclose(angles, angles[0], atol=1e-5)


def test_interpolation_keeps_the_distance_that_a_straight_line_loses():
    start, end = latent(1), latent(2)
    middle = spherical_path(start, end, 3)[1]
    shorter = min(np.linalg.norm(start), np.linalg.norm(end))
    assert np.linalg.norm(middle) >= shorter
    assert np.linalg.norm((start + end) / 2) < 0.85 * shorter


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_interpolation_between_latents_of_one_direction_is_straight(scale):
    start = latent(4)
    path = spherical_path(start, scale * start, 3)
    np.testing.assert_allclose(path[1], (1 + scale) / 2 * start, rtol=1e-5)


@pytest.mark.parametrize(
    ("end", "message"), [(-latent(4), "opposite"), (np.zeros(64, np.float32), "zeros")]
)
def test_latents_without_an_arc_between_them_are_named(end, message):
    with pytest.raises(InputError, match=message):
        spherical_path(latent(4), end, 3)


@pytest.mark.parametrize("steps", [1, 0, -3])
def test_a_path_has_two_steps_or_more(steps):
    with pytest.raises(InputError, match="at least 2"):
        spherical_path(latent(1), latent(2), steps)
    with pytest.raises(InputError, match="at least 2"):
        straight_path(latent(1), DIRECTION, 1500.0, steps)
