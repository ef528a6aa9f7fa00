"""Targets that are another subject's, as where two columns of a list are out of step.

Sequences of one head share their edges. What is left of these without the cohort's mean picture
tells heads apart, and each source is given the target that makes all of them fit best.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from hagan_clinic.data.check.finding import Finding, warning
from hagan_clinic.data.check.look import Look, about_middle, ranks

FEWEST = 8
"""The mean of fewer pictures is too much like each of them."""

MARGIN = 0.1
"""Another target has to fit better by this correlation."""

_STEP_MM = 5.5
_SEMI_AXES_MM = (45.0, 62.0, 48.0)
_SHAPE = (20, 26, 20)
_MIDDLE = (
    np.square(
        [
            (index - (size - 1) / 2) * _STEP_MM / axis
            for index, size, axis in zip(np.indices(_SHAPE), _SHAPE, _SEMI_AXES_MM, strict=True)
        ]
    ).sum(axis=0)
    < 1
)

Pictures = NDArray[np.float32]


def mispaired(looks: Sequence[Look], source: str, target: str) -> list[Finding]:
    """The subjects whose source fits the target of another, where the others fit no worse.

    Args:
        looks: The subjects whose source and target lie in one place.
        source: Name of a source sequence.
        target: Name of the target sequence.
    """
    pairs = [look for look in looks if {source, target} <= set(look.images) and look.inside.any()]
    if len(pairs) < FEWEST:
        return []
    likeness = likenesses(
        np.stack([edge_picture(look, source) for look in pairs]),
        np.stack([edge_picture(look, target) for look in pairs]),
    )
    return [
        warning(
            look.name,
            "pairing",
            f"{source} fits the {target} of {pairs[better].name} better; look whose it is",
        )
        for look, own, better in zip(pairs, *best_pairing(likeness), strict=True)
        if own != better
    ]


def best_pairing(
    likeness: NDArray[np.float32],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sources, and the target of each, with the highest sum of likenesses."""
    own = MARGIN * np.eye(len(likeness))
    sources, targets = optimize.linear_sum_assignment(likeness + own, maximize=True)
    return sources, targets


def likenesses(sources: Pictures, targets: Pictures) -> NDArray[np.float32]:
    """Correlation of each source's edges with each target's, without the cohort's means.

    Args:
        sources: (N, V), from `edge_picture`.
        targets: (N, V).
    """
    product: NDArray[np.float32] = _own_part(sources) @ _own_part(targets).T
    return product


def edge_picture(look: Look, sequence: str) -> NDArray[np.float32]:
    """The strength of edges in the middle of the brain, in their standard deviations.

    The region has one form for all: that of a mask would tell whose it is.
    """
    centre = ndimage.center_of_mass(look.inside)
    shown = about_middle(look.images[sequence], look, centre, _SHAPE, _STEP_MM)
    squares = [np.square(step) for step in np.gradient(ranks(shown, _MIDDLE))]
    strength = np.where(ndimage.binary_erosion(_MIDDLE), np.sqrt(np.sum(squares, axis=0)), 0)
    picture = np.asarray(strength, np.float32).ravel()
    picture -= picture.mean()
    picture /= max(float(picture.std()), 1e-6)
    return picture


def _own_part(pictures: Pictures) -> Pictures:
    rest: Pictures = pictures - pictures.mean(axis=0)
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6)
    return rest
