import importlib
import sys
from pathlib import Path

import pytest

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.evaluation.feature_cache import FeatureCache
from hagan_clinic.evaluation.hd_bet import HDBetEncoder
from hagan_clinic.evaluation.volume_sets import Patients
from hagan_clinic.recipe import Recipe


@pytest.fixture(scope="module")
def ranking():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        yield importlib.import_module("feature_ranking")
    finally:
        sys.path.pop(0)


def test_hd_bet_ranks_real_brains_behind_each_other_as_they_are_damaged(
    ranking, real_cohort, tmp_path, monkeypatch
):
    kinds = {
        "blurred": {f"blurred {sigma}": ranking.blurred(sigma) for sigma in (0.7, 1.2)},
        "noisy": {"noisy": ranking.noisy(0.2)},
        "moved": {"moved": ranking.moved(4)},
    }
    monkeypatch.setattr(ranking, "KINDS", kinds)
    recipe = Recipe(
        sources=("t1",), target="", spacing=(6.0,) * 3, multiple=1, halo=0, interval_factor=0.0
    )
    subjects = find_cohort(real_cohort, ("t1",), None, None)
    volumes = Patients(subjects, recipe, (32, 32, 32), tmp_path, stripped=True)
    cache = FeatureCache(HDBetEncoder(), tmp_path / "features")
    found = ranking.distances(cache, volumes)
    for of in found.values():
        assert ranking.out_of_order(of) == []
        assert of["blurred 1.2"] > 1.2 * of[ranking.UNDAMAGED]


def test_what_is_out_of_order_is_named(ranking):
    names = [ranking.UNDAMAGED, *(name for kind in ranking.KINDS.values() for name in kind)]
    of = dict(zip(names, range(len(names)), strict=True))
    assert ranking.out_of_order(of) == []
    of["noise of 0.1"], of["mixed of two"] = of["noise of 0.05"], -1
    assert ranking.out_of_order(of) == [
        "noise of 0.1 before noise of 0.05",
        "mixed of two before undamaged",
    ]
