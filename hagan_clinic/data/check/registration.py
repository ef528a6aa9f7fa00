"""Whether a subject's sequences lie on each other, by edges and mutual information."""

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.check.finding import Finding, error
from hagan_clinic.data.check.look import Array, Look, Region

MOST_VOXELS = 1
"""So many coarse voxels off may come of their size; every registered pair measured has 0."""

SMALLEST_OVERLAP = 0.5

_BINS = 16
_WORDS = (("down", "up"), ("backwards", "forwards"), ("left", "right"))
_PERCENTILES = (1, 99)


def registration(look: Look) -> list[Finding]:
    """Sequences that would fit the first better at another place, or overlap it too little."""
    findings = []
    (first, reference), *others = look.images.items()
    for name, array in others:
        heads = look.heads[first], look.heads[name]
        moved = displacement((reference, array), heads)
        overlap = 2 * np.count_nonzero(heads[0] & heads[1]) / max(sum(map(np.sum, heads)), 1)
        if max(map(abs, moved)) > MOST_VOXELS:
            text = f"{name} fits {first} best when moved {_in_words(moved, look)}"
        elif overlap < SMALLEST_OVERLAP:
            text = f"{name} and {first} overlap by {overlap:.0%} (Dice of their foregrounds)"
        else:
            continue
        findings.append(
            error(look.name, "registration", f"{text}; expected them in one place: register them")
        )
    return findings


def displacement(pair: tuple[Array, Array], heads: tuple[Region, Region]) -> tuple[int, int, int]:
    """By how many voxels the second image has to be moved to lie on the first.

    Sequences differ in contrast and share their edges, whose correlation at all displacements is
    one Fourier transform. That place is taken if mutual information is higher there too.

    Args:
        pair: Two images of one shape (D, H, W).
        heads: Their foregrounds.
    """
    shape = pair[0].shape
    # Twice the size, so that what leaves on one side does not come in on the other.
    padded = [2 * size for size in shape]
    one, other = (
        np.fft.rfftn(_edges(array, head), padded, axes=(0, 1, 2))
        for array, head in zip(pair, heads, strict=True)
    )
    correlation = np.fft.irfftn(one * np.conj(other), padded, axes=(0, 1, 2))
    best = np.unravel_index(int(correlation.argmax()), correlation.shape)
    d, h, w = (
        int(step) if step < size else int(step) - 2 * size
        for step, size in zip(best, shape, strict=True)
    )
    if not any((d, h, w)):
        return 0, 0, 0
    fixed, moving = (_scaled(array, head) for array, head in zip(pair, heads, strict=True))
    moved = np.roll(moving, (d, h, w), axis=(0, 1, 2))
    if mutual_information(fixed, moved) <= mutual_information(fixed, moving):
        return 0, 0, 0
    return d, h, w


def mutual_information(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """In nats, of values in [0, 1], from a joint histogram of the voxels where one is above 0."""
    shown = (one > 0) | (other > 0)
    edges = np.linspace(0, 1, _BINS + 1)
    counts = np.histogram2d(one[shown], other[shown], bins=(edges, edges))[0]
    joint = counts / max(counts.sum(), 1)
    return _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint)


def _entropy(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return -float((positive * np.log(positive)).sum())


def _scaled(array: Array, head: Region) -> Array:
    """The head in [0, 1], 0 around it."""
    values = array[head]
    if not values.size:
        return np.zeros_like(array)
    low, high = np.percentile(values, _PERCENTILES)
    scaled = np.clip((array - low) / max(high - low, 1e-6), 0, 1)
    return np.where(head, scaled, 0).astype(np.float32)


def _edges(array: Array, head: Region) -> Array:
    """The strength of edges, about its mean."""
    scaled = _scaled(array, head)
    steps = [np.gradient(scaled, axis=axis) for axis in range(3) if scaled.shape[axis] > 1]
    strength: Array = np.sqrt(sum(np.square(step) for step in steps), dtype=np.float32)
    strength -= strength.mean()
    return strength


def _in_words(moved: tuple[int, int, int], look: Look) -> str:
    text = [
        f"{abs(step) * size:.0f} mm {words[step > 0]}"
        for step, size, words in zip(moved, look.spacing, _WORDS, strict=True)
        if step
    ]
    return " and ".join(text)
