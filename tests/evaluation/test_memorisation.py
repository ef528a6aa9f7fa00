import numpy as np
import pytest

from hagan_clinic.evaluation.memorisation import nearness

TRAINING, HELD_OUT, SAMPLES = 40, 20, 24
PATIENTS = [f"p{number}" for number in range(TRAINING + HELD_OUT)]


def features(count, seed):
    return np.random.default_rng(seed).standard_normal((count, 30))


def found(samples, seed=0):
    training, held_out = features(TRAINING, 100 + seed), features(HELD_OUT, 200 + seed)
    return nearness("set", samples, training, held_out, patients=PATIENTS, seed=0, permutations=299)


def test_copies_of_training_volumes_are_caught_even_where_noise_is_on_them():
    copies = features(TRAINING, 100)[:SAMPLES] + 0.2 * features(SAMPLES, 1)
    copied = found(copies)
    far = np.linalg.norm(copies[:, None] - features(HELD_OUT, 200)[None], axis=2).min(1)
    np.testing.assert_allclose(copied.to_held_out, far)
    assert copied.nearest.tolist() == list(range(SAMPLES))
    assert copied.nearer_than_any == SAMPLES
    assert copied.p_rank < 1e-6
    assert copied.p_labels < 0.01


def test_a_third_of_copies_among_new_volumes_is_caught():
    copies = features(TRAINING, 100)[: SAMPLES // 3]
    mixed = found(np.concatenate([copies, features(2 * SAMPLES // 3, 1)]))
    assert mixed.nearer_than_any >= SAMPLES // 3
    assert mixed.p_labels < 0.05


def many(scale):
    """Both p of sets that were drawn like the real volumes, or nearer to their mean."""
    sets = (found(scale * features(SAMPLES, 300 + seed), seed) for seed in range(40))
    return np.array([(one.p_rank, one.p_labels) for one in sets])


def test_new_volumes_are_called_copied_no_more_often_than_p_says():
    p = many(scale=1)
    assert (np.mean(p < 0.1, axis=0) <= 0.2).all()
    assert np.mean(p, axis=0) == pytest.approx([0.5, 0.5], abs=0.15)


def test_volumes_near_the_mean_are_near_to_all_and_not_called_copies():
    rank, labels = many(scale=0.3).T
    assert rank.max() < 1e-6
    assert np.mean(labels < 0.1) <= 0.2
    assert np.mean(labels) == pytest.approx(0.5, abs=0.15)


def test_copies_of_held_out_volumes_are_none_of_training_ones():
    assert found(features(HELD_OUT, 200)).p_labels > 0.9
