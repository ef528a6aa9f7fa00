"""Paths through the latent space: along a direction, and on the sphere between two latents."""

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration.direction import Direction

Latents = NDArray[np.float32]

_PARALLEL = 1e-6
"""Radians within which two latents point the same way, or opposite ways."""


def straight_path(start: Latents, direction: Direction, target: float, steps: int) -> Latents:
    """From a latent along a direction until the predicted value is the target's.

    Of all latents with that prediction the last is the nearest to ``start``: the step along the
    coefficients w has the least norm, ``(target - predicted) w / |w|²``.

    Args:
        start: (latent,).
        direction: What predicts.
        target: In units of the measurement.
        steps: Latents of the path, the first and the last with it; at least 2.

    Returns:
        (steps, latent); predicted values are evenly spaced from that of ``start`` to ``target``.

    Raises:
        InputError: Too few steps, or a target that is not finite.
    """
    _check_steps(steps)
    if not np.isfinite(target):
        raise InputError(f"the target is {target}: expected a finite number")
    w = direction.coefficients
    whole = (target - direction.predict(start[None])[0]) / (w @ w) * w
    return np.asarray(start + np.linspace(0, 1, steps)[:, None] * whole, np.float32)


def spherical_path(start: Latents, end: Latents, steps: int) -> Latents:
    """From one latent to another along the great circle, with the length growing evenly.

    A straight line between two latents passes nearer to the origin than nearly all that the
    generator was trained on, as they lie about ``sqrt(latent)`` away from it (White 2016); the arc
    (Shoemake 1985) keeps the distance.

    Args:
        start: (latent,).
        end: (latent,).
        steps: Latents of the path, both ends with it; at least 2.

    Returns:
        (steps, latent).

    Raises:
        InputError: Too few steps, a latent of zeros, or latents that point opposite ways.
    """
    _check_steps(steps)
    ends = np.stack([start, end]).astype(np.float64)
    lengths = np.linalg.norm(ends, axis=1)
    if not lengths.all():
        raise InputError("a latent is all zeros: it points nowhere, so there is no arc to another")
    one, other = ends / lengths[:, None]
    # More exact than arccos of the product, for small angles as for large ones.
    angle = 2 * np.arctan2(np.linalg.norm(one - other), np.linalg.norm(one + other))
    if np.pi - angle < _PARALLEL:
        raise InputError(
            "the two latents point opposite ways: no arc between them is the shortest; "
            "interpolate by way of a third"
        )
    share = np.linspace(0, 1, steps)[:, None]
    if angle < _PARALLEL:
        turned = one + share * (other - one)
    else:
        turned = (np.sin((1 - share) * angle) * one + np.sin(share * angle) * other) / np.sin(angle)
    path = (lengths[0] + share * (lengths[1] - lengths[0])) * turned
    return np.asarray(path, np.float32)


def _check_steps(steps: int) -> None:
    if steps < 2:
        raise InputError(f"found {steps} steps, expected at least 2: the start and the end")
