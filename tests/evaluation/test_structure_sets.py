import numpy as np
import pytest

from hagan_clinic.evaluation.halves import Halves
from hagan_clinic.evaluation.structure_sets import StructureSets, measure_sets
from hagan_clinic.evaluation.volume_sets import VolumeSet

REAL = 24


class Bright(VolumeSet):
    """Volumes whose first voxels are bright, as many as their number says."""

    def __init__(self, name, counts):
        super().__init__(name, (4, 4, 4))
        self._counts = counts

    def __len__(self):
        return len(self._counts)

    def volume(self, number):
        return (np.arange(64).reshape(4, 4, 4) < self._counts[number]).astype(np.float32)


def count(volume, synthetic):
    """One structure that only synthetic volumes have, and one that small ones lack."""
    found = {"made up": 1.0} if synthetic else {}
    if volume.sum() > 10:
        found["bright"] = float(volume.sum())
    return found


def found_of(*counts):
    halves = Halves.of([f"p{number}" for number in range(REAL)], 8, seed=0)
    sets = [Bright(f"set {number}", values) for number, values in enumerate(counts)]
    return measure_sets(Bright("real", range(20, 20 + REAL)), sets, count, halves)


def test_sets_of_the_same_sizes_lie_at_the_floor_and_of_other_ones_as_far_as_they_differ():
    found = found_of(range(20, 20 + REAL), range(32, 32 + REAL), [32] * 12)
    floor = np.mean(found.distances("real", "bright"))
    assert np.mean(found.distances("set 0", "bright")) == pytest.approx(floor, rel=0.2)
    assert np.mean(found.distances("set 1", "bright")) == pytest.approx(12, abs=1)
    # All of the mean size: a wrong spread alone.
    assert np.mean(found.distances("set 2", "bright")) > 1.5 * floor


def test_a_structure_that_a_volume_lacks_has_no_volume_there():
    found = found_of([5, 50, 5, 50])
    assert isinstance(found, StructureSets)
    np.testing.assert_array_equal(found.ml["set 0"]["bright"], [0, 50, 0, 50])
    np.testing.assert_array_equal(found.ml["real"]["made up"], np.zeros(REAL))
    assert found.distances("real", "made up") == [0.0] * len(found.halves.pairs)
    text = found.table().markdown()
    assert "| made up | set 0 | 1.0 ± 0.0 | 1.0 (1.0 to 1.0) | – |" in text
