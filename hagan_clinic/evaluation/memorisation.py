"""Does a generator copy its training volumes? How near its samples lie to them, and by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

PERMUTATIONS = 999

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Nearness:
    """How near the samples of a set lie to training volumes and to held-out ones.

    Attributes:
        name: Of the set.
        training: Number of training volumes.
        held_out: Number of volumes that no training saw.
        nearest: For each sample the number of the nearest training volume.
        to_training: Distance to it, for each sample.
        to_held_out: Distance to the nearest held-out volume, for each sample.
        of_held_out: The distance of each held-out volume to the nearest training volume.
        p_rank: That samples lie no nearer to training volumes than held-out ones do (Mann-Whitney,
            one-tailed; Meehan et al. 2020). Copies make it small, and so do volumes nearer to the
            mean than real ones.
        p_labels: That samples lie no nearer to training volumes than to held-out ones, by
            permutation of which patients were trained on. Copies alone make it small.
    """

    name: str
    training: int
    held_out: int
    nearest: Numbers
    to_training: Array
    to_held_out: Array
    of_held_out: Array
    p_rank: float
    p_labels: float

    @property
    def nearer_than_any(self) -> int:
        """Samples nearer to a training volume than any held-out volume is."""
        return int(np.count_nonzero(self.to_training < self.of_held_out.min()))


def nearness(
    name: str,
    samples: Array,
    training: Array,
    held_out: Array,
    *,
    patients: Sequence[str],
    seed: int,
    permutations: int = PERMUTATIONS,
) -> Nearness:
    """Compare the distances of samples to training and to held-out volumes.

    Args:
        name: Of the set.
        samples: A row of features a sample.
        training: A row a training volume.
        held_out: A row a held-out volume.
        patients: Whose each training volume is, then whose each held-out one; no patient is both.
        seed: Of the permutations.
        permutations: How many.
    """
    distances = cdist(samples, np.concatenate([training, held_out]))
    trained = np.arange(distances.shape[1]) < len(training)
    to_training, to_held_out = _to_both(distances, trained)
    of_held_out = cdist(held_out, training).min(1)
    names, of_volume = np.unique(np.asarray(patients), return_inverse=True)
    trained_patients = np.unique(of_volume[trained])
    rng = np.random.default_rng(seed)
    found = _pull(to_training, to_held_out)
    as_near = 0
    for _ in range(permutations):
        drawn = rng.permutation(len(names))[: len(trained_patients)]
        as_near += _pull(*_to_both(distances, np.isin(of_volume, drawn))) <= found
    return Nearness(
        name=name,
        training=len(training),
        held_out=len(held_out),
        nearest=distances[:, trained].argmin(1),
        to_training=to_training,
        to_held_out=to_held_out,
        of_held_out=of_held_out,
        p_rank=float(mannwhitneyu(to_training, of_held_out, alternative="less").pvalue),
        p_labels=(1 + as_near) / (1 + permutations),
    )


def _to_both(distances: Array, trained: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Distances of each sample to the nearest of either kind."""
    return distances[:, trained].min(1), distances[:, ~trained].min(1)


def _pull(to_training: Array, to_held_out: Array) -> float:
    """From -1, where all samples are copies of training volumes, to 1, of held-out ones."""
    both = to_training + to_held_out
    return float(np.mean((to_training - to_held_out) / np.where(both > 0, both, 1)))
