"""Do the features rank volumes as an eye would? Real brains against damaged ones, in known order.

    python benchmarks/feature_ranking.py --data both.csv --cache CACHE

The patients are halved again and again. One half is the reference; the other is compared with it as
it is, and damaged more and more in four ways: blurred, noisy, moved, and mixed (the right half of
one brain beside the left of another). The volumes are those of `--preset cpu` (64 cubed, 3 mm,
brains alone). Features that can judge samples put undamaged brains first, and each damage behind
the lighter ones of its kind, in FID and in MMD. Printed are means over the halves, of FID as a
multiple of the undamaged ones', and what is out of order.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.evaluation.feature_cache import FeatureCache
from hagan_clinic.evaluation.features import FeatureNetwork
from hagan_clinic.evaluation.halves import Halves
from hagan_clinic.evaluation.hd_bet import HDBetEncoder
from hagan_clinic.evaluation.volume_sets import Patients
from hagan_clinic.metrics.diversity import kernel_width, maximum_mean_discrepancy
from hagan_clinic.metrics.frechet import frechet_distance
from hagan_clinic.recipe import Recipe

Volume = NDArray[np.float32]
Damage = Callable[[Volume, Volume], Volume]
"""Of a volume and another one, in [0, 1]."""

SIDE, SPACING = 64, 3.0  # voxels, mm
UNDAMAGED = "undamaged"
NETWORKS = {"hd-bet": HDBetEncoder, "random ResNet-50": FeatureNetwork}


def blurred(sigma: float) -> Damage:
    """By a Gaussian, in voxels."""
    return lambda volume, _: ndimage.gaussian_filter(volume, sigma)


def noisy(deviation: float) -> Damage:
    """Gaussian noise in the brain."""

    def damage(volume: Volume, _: Volume) -> Volume:
        noise = np.random.default_rng(0).standard_normal(volume.shape, np.float32)
        return np.clip(volume + deviation * noise * (volume > 0), 0, 1)

    return damage


def moved(voxels: int) -> Damage:
    """Forwards, out of the place that all brains share."""
    return lambda volume, _: np.roll(volume, voxels, 1)


def mixed(volume: Volume, other: Volume) -> Volume:
    """Left of one, right of the other."""
    half = volume.shape[2] // 2
    return np.concatenate([volume[..., :half], other[..., half:]], 2)


KINDS: Mapping[str, Mapping[str, Damage]] = {
    "blurred": {f"blurred, σ {s:g} voxels": blurred(s) for s in (0.5, 1, 1.5)},
    "noisy": {f"noise of {d:g}": noisy(d) for d in (0.02, 0.05, 0.1)},
    "moved": {f"moved by {v} voxels": moved(v) for v in (1, 2, 4)},
    "mixed": {"mixed of two": mixed},
}
"""From light to heavy, of each kind."""


class Damaged(Sequence[Volume]):
    """Volumes, damaged as they are asked for."""

    def __init__(self, volumes: Sequence[Volume], damage: Damage) -> None:
        self._volumes, self._damage = volumes, damage

    def __len__(self) -> int:
        return len(self._volumes)

    def __getitem__(self, number: int) -> Volume:
        other = self._volumes[number ^ 1]  # the other one of its pair
        return np.asarray(self._damage(self._volumes[number], other), np.float32)


def distances(cache: FeatureCache, volumes: Sequence[Volume]) -> dict[str, dict[str, float]]:
    """FID and MMD of undamaged volumes and of every damage, means over halves of the patients.

    Args:
        cache: Gives features.
        volumes: One of each patient, an even number.
    """
    real = cache.all(volumes)
    found = {UNDAMAGED: real}
    for damages in KINDS.values():
        for name, damage in damages.items():
            found[name] = cache.all(Damaged(volumes, damage))
    # The two that are mixed stay in one half, as the reference knows neither of them.
    pairs = [str(number // 2) for number in range(len(volumes))]
    halves = Halves.of(pairs, len(volumes), seed=0)
    mmd = partial(maximum_mean_discrepancy, width=kernel_width(real))
    return {
        metric: {
            name: fmean(distance(rows[one], real[other]) for one, other in halves.pairs)
            for name, rows in found.items()
        }
        for metric, distance in {"FID": frechet_distance, "MMD": mmd}.items()
    }


def out_of_order(of: Mapping[str, float]) -> list[str]:
    """What is nearer to the reference than something that is damaged less, or not at all."""
    return [
        f"{heavier} before {lighter}"
        for damages in KINDS.values()
        for lighter, heavier in pairwise([UNDAMAGED, *damages])
        if of[heavier] <= of[lighter]
    ]


def main() -> None:
    """Print a Markdown table of each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--count", type=int, default=32, help="patients")
    parser.add_argument("--features", choices=NETWORKS, action="append")
    arguments = parser.parse_args()

    recipe = Recipe(
        sources=("t1",), target="", spacing=(SPACING,) * 3, multiple=1, halo=0, interval_factor=0.0
    )
    found = find_cohort(arguments.data, recipe.sources, None, arguments.mask)
    subjects = list({subject.patient: subject for subject in found}.values())
    order = np.random.default_rng(0).permutation(len(subjects))[: arguments.count // 2 * 2]
    chosen = [subjects[number] for number in order]
    volumes = Patients(chosen, recipe, (SIDE,) * 3, arguments.cache, stripped=True)
    for name in arguments.features or NETWORKS:
        cache = FeatureCache(NETWORKS[name](), arguments.cache / "features")
        of = distances(cache, volumes)
        print(f"\n{name}, {len(volumes)} patients\n")
        print("| volumes | FID / undamaged | MMD |\n|---|---|---|")
        for row, fid in of["FID"].items():
            print(f"| {row} | {fid / of['FID'][UNDAMAGED]:.2f} | {of['MMD'][row]:.4f} |")
        for metric, values in of.items():
            print(f"\n{metric}, out of order: {'; '.join(out_of_order(values)) or 'nothing'}")


if __name__ == "__main__":
    main()
