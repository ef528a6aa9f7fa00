import tracemalloc

import numpy as np
import pytest

from hagan_clinic.intensity import from_unit
from hagan_clinic.preparation import missed_on_source, prepare, restore
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.footprint import footprint
from hagan_clinic.volume import Grid, Volume

SCAN = 4 * 120 * 100 * 80  # bytes
GRID = Grid((120, 100, 80), np.eye(4))


def test_scan_at_the_spacing_of_the_network_has_copies_of_one_size():
    beside = footprint(GRID, (1.0, 1.0, 1.0), channels=1)
    assert beside.preparing == 5 * SCAN
    assert beside.restoring == 8 * SCAN


def test_coarse_network_takes_its_share_only():
    field = SCAN / 8
    beside = footprint(GRID, (2.0, 2.0, 2.0), channels=1)
    assert beside.preparing == 3 * SCAN + field
    assert beside.restoring == 5 * SCAN + 2 * field


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_every_further_scan_counts_when_it_is_prepared(channels):
    fine = footprint(GRID, (0.5, 0.5, 0.5), channels)
    field = SCAN * 8
    assert fine.preparing == (2 * channels + 3) * field
    assert fine.restoring == 6 * field + 2 * SCAN


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 1.5, 1.5), (0.8, 0.8, 2.4)])
def test_no_more_is_taken_than_was_told(spacing):
    recipe = Recipe(
        sources=("t1",), target="flair", spacing=(1.0, 1.0, 1.0), multiple=16, halo=8,
        interval_factor=1.0, box=(96, 96, 96), box_grows=True,
    )  # fmt: skip
    shape = tuple(int(150 / step) for step in spacing)
    places = np.indices(shape) / np.array(shape).reshape(3, 1, 1, 1) - 0.5
    head = np.where(np.linalg.norm(places, axis=0) < 0.45, 500 + 800 * places[0], 0)
    source = Volume(np.asfortranarray(head.astype(np.float32)), np.diag([*spacing, 1.0]))
    told = footprint(source.grid, recipe.spacing, channels=1)
    tracemalloc.start()
    prepared = prepare([source], recipe)
    preparing = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    target, scale = prepared.array[0].copy(), prepared.array[0].copy()
    tracemalloc.start()
    volume = restore(from_unit(target), prepared, fill=0)
    half_width = restore(np.clip(scale * np.float32(0.5), 0, 1), prepared, fill=0)
    missed_on_source(prepared)
    restoring = tracemalloc.get_traced_memory()[1] + target.nbytes + scale.nbytes
    tracemalloc.stop()
    assert volume.shape == half_width.shape == shape
    assert told.preparing / 3 < preparing < told.preparing
    assert told.restoring / 3 < restoring < told.restoring
