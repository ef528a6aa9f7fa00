"""Signs in a T1 itself that contrast agent was given: bright veins in the middle of the brain.

After contrast agent the venous sinuses, the scalp and the mucosa of the nose are brighter than
white matter. Fat of the scalp, inflow in arteries and receiving coils near the skull make the
same in native scans; not so the inner cerebral veins, the straight sinus and the choroid plexus,
which lie in a box about the middle of the brain where little else is bright.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.volume import Spacing

BRIGHTER = 1.25
"""As bright as this times white matter is enhanced."""

BRIGHT_SHARE = 0.003
"""More of the box than this is doubted. `benchmarks/enhancement.py` measures it."""

# Inferior to superior, posterior to anterior, left to right of the head's centre of mass; in mm.
_BOX = ((-10.0, 30.0), (-45.0, 30.0), (-25.0, 25.0))
_STEP_MM = 2.0  # to which fine voxels are averaged, against noise
_CELL_MM = 12.5  # in which white matter has one brightness, whatever the coils do
_WHITE_MATTER = 85  # the percentile that is taken for it


def bright_share(array: NDArray[Any], spacing: Spacing, centre: Sequence[float]) -> float:
    """The part of the middle of the brain that is brighter than white matter is.

    Args:
        array: (D, H, W) of a T1, in scanner units.
        spacing: In mm.
        centre: Of the head (see `intensity.head_centre`), in voxels.
    """
    runs, cells = [], []
    for (low, high), step, middle, size in zip(_BOX, spacing, centre, array.shape, strict=True):
        factor = max(round(_STEP_MM / step), 1)
        first = max(round(middle + low / step), 0)
        count = max((min(round(middle + high / step), size) - first) // factor, 0)
        runs.append((first, count, factor))
        places = (first + factor * np.arange(count) - middle) * step - low
        ends = np.flatnonzero(np.diff(np.maximum(places // _CELL_MM, 0))) + 1
        cells.append([slice(*ends) for ends in pairwise([0, *ends, count])])
    box = array[tuple(slice(first, first + count * factor) for first, count, factor in runs)]
    shape = [part for _, count, factor in runs for part in (count, factor)]
    values = box.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32)
    if not (values > 0).any():
        return 0.0
    least = np.percentile(values[values > 0], _WHITE_MATTER)
    bright = 0
    for cell in product(*cells):
        inside = values[cell]
        # In most cells nothing is as bright as that, whatever their own white matter is.
        if inside.max() > BRIGHTER * least:
            reference = max(least, np.percentile(inside, _WHITE_MATTER))
            bright += int(np.count_nonzero(inside > BRIGHTER * reference))
    return float(bright / values.size)
