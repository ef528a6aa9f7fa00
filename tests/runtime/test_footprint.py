import numpy as np
import pytest

from hagan_clinic.runtime.footprint import footprint
from hagan_clinic.volume import Grid

SCAN = 4 * 120 * 100 * 80  # bytes
GRID = Grid((120, 100, 80), np.eye(4))


def test_scan_at_the_spacing_of_the_network_has_copies_of_one_size():
    beside = footprint(GRID, (1.0, 1.0, 1.0), channels=1)
    assert beside.preparing == 6 * SCAN
    assert beside.restoring == 8 * SCAN


def test_coarse_network_takes_its_share_only():
    field = SCAN / 8
    beside = footprint(GRID, (2.0, 2.0, 2.0), channels=1)
    assert beside.preparing == 4 * SCAN + 2 * field
    assert beside.restoring == 5 * SCAN + 2 * field


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_every_further_scan_counts_when_it_is_prepared(channels):
    fine = footprint(GRID, (0.5, 0.5, 0.5), channels)
    field = SCAN * 8
    assert fine.preparing == (2 * channels + 3) * field
    assert fine.restoring == 5 * field + 3 * SCAN
