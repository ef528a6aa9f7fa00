"""What a translation holds beside its network, estimated from the sizes of its grids.

Counted are copies of float32 arrays that live at one time; smaller things are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hagan_clinic.preparation import network_grid
from hagan_clinic.volume import Grid, Spacing

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Footprint:
    """Bytes beside the network, above what the scans themselves take.

    Attributes:
        preparing: At peak while the scans are brought to the network's spacing and grey values.
        restoring: At peak while the network's two results go back to the scan's grid and to files.
    """

    preparing: int
    restoring: int


def footprint(source: Grid, spacing: Spacing, channels: int) -> Footprint:
    """What is held beside the network for scans of one grid.

    Args:
        source: The scans' grid.
        spacing: Of the network's grid, in mm.
        channels: Number of scans.
    """
    scan = _FLOAT * math.prod(source.shape)
    field = _FLOAT * math.prod(network_grid(source, spacing).shape)
    # Between axes an array is as large as the larger of both grids, and two of them live at a time.
    between = 2 * max(scan, field)
    # Of one scan its voxels in canonical order, what lies between, and all resampled ones.
    resampling = scan + between + channels * field
    # All resampled scans with their differences from the background, of one those of its tissue
    # twice; then, instead of the differences, the result and of one the part in the box.
    scaling = (2 * channels + 3) * field
    # Target and scale, one in other units and in the whole field; what lies between; both results.
    resampling_back = 4 * field + between + 2 * scan
    # Target and scale; both results; of one SimpleITK's image, its compressed bytes at worst, and
    # the image read again.
    writing = 2 * field + 5 * scan
    return Footprint(max(resampling, scaling), max(resampling_back, writing))
