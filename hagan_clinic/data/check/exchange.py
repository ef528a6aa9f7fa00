"""Sequences that were exchanged: the difference of a pair, against those of all other subjects.

Grey values become ranks within the brain, so that no scanner's scale counts, and a pair becomes the
map of rank differences about the middle of the brain. These maps point much the same way for
one pair of sequences (white matter is brighter in T1 than in FLAIR, and so on); that of an
exchanged pair points the opposite way. No reference is needed, as long as most pairs are right.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hagan_clinic.data.check.finding import Finding, error, warning
from hagan_clinic.data.check.look import Look, about_middle, ranks

FEWEST = 8
"""With fewer pairs it is unclear which are the exchanged ones."""

SURE = 16
"""Of fewer pairs one in some hundred is doubted wrongly, so that what is found is a warning."""

MOST = 1 / 3
"""If more seem exchanged, it is unclear which are right."""

_SHAPE = (16, 20, 16)
_STEP_MM = 9.0
_BLUR = 0.8  # coarse voxels, against noise between the steps


def exchanged(looks: Sequence[Look], source: str, target: str) -> list[Finding]:
    """The subjects whose source and target look like each other's."""
    pairs = [look for look in looks if {source, target} <= set(look.images)]
    maps = [difference_map(look, source, target) for look in pairs]
    known = [(look, found) for look, found in zip(pairs, maps, strict=True) if found is not None]
    if len(known) < FEWEST:
        return []
    agreement = agreements(np.stack([found for _, found in known]))
    names = [look.name for (look, _), value in zip(known, agreement, strict=True) if value < 0]
    if len(names) > MOST * len(known):
        return [
            warning(
                "",
                "exchanged",
                f"{source} and {target} differ in no one way over the cohort ({len(names)} of "
                f"{len(known)} pairs against the others); look whether they are what their names "
                "say",
            )
        ]
    report = error if len(known) >= SURE else warning
    return [
        report(
            name,
            "exchanged",
            f"{source} and {target} look like each other's in the other subjects; look, and "
            "exchange the files",
        )
        for name in names
    ]


def agreements(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each map points the way of all others; below 0 it points against most of them.

    Which of the others point the wrong way themselves follows from the direction in which the maps
    vary most, so that many exchanged pairs do not hide each other.

    Args:
        maps: (N, V), each of length 1.
    """
    likeness = maps @ maps.T
    signs = np.sign(np.linalg.eigh(likeness)[1][:, -1])
    signs *= 1 if signs.sum() >= 0 else -1  # most are right
    np.fill_diagonal(likeness, 0)
    agreement: NDArray[np.float64] = likeness @ signs / max(len(maps) - 1, 1)
    return agreement


def difference_map(look: Look, source: str, target: str) -> NDArray[np.float64] | None:
    """Ranks of the source less those of the target, of length 1; None where nothing differs."""
    inside = look.inside
    if not inside.any():
        return None
    one, other = (ranks(look.images[name], inside) for name in (source, target))
    blurred = ndimage.gaussian_filter(one - other, _BLUR)
    centre = ndimage.center_of_mass(inside)
    found = about_middle(blurred, look, centre, _SHAPE, _STEP_MM).ravel()
    length = float(np.linalg.norm(found))
    return found.astype(np.float64) / length if length > 0 else None
