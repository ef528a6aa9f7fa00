import numpy as np

from hagan_clinic.evaluation.bootstrap import bootstrap_interval
from hagan_clinic.metrics.frechet import frechet_distance

VOLUMES, FEATURES = 30, 4


def drawn(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((VOLUMES, FEATURES)) + 0.5, rng.standard_normal((VOLUMES, FEATURES))


def test_nine_in_ten_intervals_or_more_hold_the_mean_distance_of_as_many_volumes():
    mean = np.mean([frechet_distance(*drawn(seed)) for seed in range(300)])
    patients = [str(number) for number in range(VOLUMES)]
    intervals = [
        bootstrap_interval(frechet_distance, *drawn(1000 + seed), patients, seed, repeats=60)
        for seed in range(40)
    ]
    held = [low <= mean <= high for low, high in intervals]
    assert np.mean(held) >= 0.85
    assert np.mean([high - low for low, high in intervals]) < 2 * mean


def test_many_scans_of_few_patients_make_the_interval_wider():
    made, real = drawn(0)
    few = real[np.arange(VOLUMES) // 10]  # three patients whose scans are all alike
    alone = bootstrap_interval(frechet_distance, made, few, [str(n) for n in range(VOLUMES)], 0)
    together = bootstrap_interval(
        frechet_distance, made, few, [str(n // 10) for n in range(VOLUMES)], 0
    )
    assert together[1] - together[0] > 1.3 * (alone[1] - alone[0])


def test_no_interval_reaches_below_what_a_distance_can_be():
    made, _ = drawn(0)
    patients = [str(number) for number in range(VOLUMES)]
    free = bootstrap_interval(frechet_distance, made, made, patients, 0)
    held = bootstrap_interval(frechet_distance, made, made, patients, 0, least=0.0)
    assert free[0] < 0
    assert held == (0.0, free[1])
