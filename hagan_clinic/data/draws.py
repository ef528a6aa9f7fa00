"""What chance gives a volume: a function of the run's seed and the volume's number alone.

All of it is drawn on the CPU, whether it comes to use or not, so that no setting changes what
another one draws, and the numbers are the same on every device.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.augment import AugmentConfig

BIAS_FIELD_ORDER = 3
BIAS_FIELD_TERMS = 20
"""Monomials of three variables up to that order."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """A rotation, scaling and translation about the centre of the volume, as TorchIO's.

    Attributes:
        scales: Along D, H, W; above 1 makes things larger.
        degrees: About D, H, W.
        shift_mm: Along D, H, W.
    """

    scales: tuple[float, float, float]
    degrees: tuple[float, float, float]
    shift_mm: tuple[float, float, float]

    def inverse(self) -> Matrix:
        """(3, 4), mm from the centre: from a place in the moved volume to that in the volume."""
        c0, c1, c2 = (math.cos(math.radians(angle)) for angle in self.degrees)
        s0, s1, s2 = (math.sin(math.radians(angle)) for angle in self.degrees)
        about_d = np.array([[1, 0, 0], [0, c0, -s0], [0, s0, c0]])
        about_h = np.array([[c1, 0, s1], [0, 1, 0], [-s1, 0, c1]])
        about_w = np.array([[c2, -s2, 0], [s2, c2, 0], [0, 0, 1]])
        turned = (about_w @ about_d @ about_h).T
        return np.column_stack(
            [turned @ np.diag(1 / np.array(self.scales)), -turned @ self.shift_mm]
        )


@dataclass(frozen=True)
class Drawn:
    """What is done to a volume, and so to all of its samples.

    Attributes:
        stripped: Whether it is shown without its skull.
        erosion: Layers of voxels taken off its brain mask, if stripped.
        flip: Whether left and right change places, before the affine.
        affine: None for none.
        bias: (C, 20) coefficients of each channel's polynomial, TorchIO's order; None for none.
        gamma: Exponent of each channel; None for none.
        noise: Standard deviation; 0 for none.
        thick: Axis (0 to 2) and thickness in voxels of simulated thick slices; None for none.
    """

    stripped: bool = False
    erosion: int = 0
    flip: bool = False
    affine: Affine | None = None
    bias: NDArray[np.float64] | None = None
    gamma: NDArray[np.float64] | None = None
    noise: float = 0.0
    thick: tuple[int, float] | None = None

    def matrix(self, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Matrix:
        """(3, 4): from a voxel of the augmented volume (D, H, W) to its place in the volume."""
        size, centre = np.array(spacing), (np.array(shape) - 1) / 2
        inverse = np.eye(3, 4) if self.affine is None else self.affine.inverse()
        matrix: Matrix = np.column_stack([inverse[:, :3] * size, inverse[:, 3]]) / size[:, None]
        matrix[:, 3] += centre - matrix[:, :3] @ centre
        if self.flip:
            matrix[2] = [0, 0, 0, shape[2] - 1] - matrix[2]
        return matrix


def draw(augment: AugmentConfig, seed: int, number: int, channels: int, forms: int) -> Drawn:
    """What volume ``number`` of a run gets.

    Args:
        augment: Probabilities and strengths.
        seed: Of the run.
        number: Of the volume.
        channels: Of the source.
        forms: 2 where the subject has a skull-stripped form besides the whole head.
    """
    rng = np.random.default_rng((seed, number, 0, 3))

    def happens(probability: float) -> bool:
        return bool(rng.random() < probability)

    def three(middle: float, width: float) -> tuple[float, float, float]:
        d, h, w = rng.uniform(middle - width, middle + width, 3)
        return float(d), float(h), float(w)

    stripped = happens(augment.stripped) and forms == 2
    tighter = happens(augment.erosion)
    layers = int(rng.integers(1, augment.erosion_voxels + 1))
    flip = happens(augment.flip)
    moves = happens(augment.affine)
    affine = Affine(three(1, augment.scale), three(0, augment.degrees), three(0, augment.shift_mm))
    thick = happens(augment.anisotropy)
    slices = int(rng.integers(3)), float(rng.uniform(*augment.thickness))
    noisy, noise = happens(augment.noise), float(rng.uniform(0, augment.noise_std))
    # What there is of each channel comes last: another one changes nothing above.
    biased, contrasted = happens(augment.bias_field), happens(augment.gamma)
    strength, width = augment.bias_strength, augment.log_gamma
    bias = rng.uniform(-strength, strength, (channels, BIAS_FIELD_TERMS))
    gamma = np.exp(rng.uniform(-width, width, channels))
    return Drawn(
        stripped=stripped,
        erosion=layers if stripped and tighter else 0,
        flip=flip,
        affine=affine if moves else None,
        bias=bias if biased else None,
        gamma=gamma if contrasted else None,
        noise=noise if noisy else 0.0,
        thick=slices if thick else None,
    )
