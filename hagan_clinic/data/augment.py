"""Settings of augmentation: how often, how much a head or a scanner differs.

What chance makes of them for one volume is in ``draws``, and what is done to its voxels in
``moving``, ``scanner`` and ``augmented``.
"""

import math
from dataclasses import dataclass

from hagan_clinic.errors import InputError

PROBABILITIES = (
    "stripped", "erosion", "flip", "affine", "anisotropy", "bias_field", "gamma", "noise",
)  # fmt: skip
STRENGTHS = ("scale", "degrees", "shift_mm", "bias_strength", "log_gamma", "noise_std")
MOST_DEGREES = 30.0
"""Volumes are moved along one axis after another (``moving``), which more would distort."""


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities and strengths; a probability of 0 switches a transform off.

    Raises:
        InputError: a probability outside 0 to 1, a strength that is negative or too large, or a
            range upside down.

    Attributes:
        stripped: Probability of the skull-stripped form, where the subject has both.
        erosion: Probability of a tighter brain mask for the skull-stripped form.
        erosion_voxels: From one to so many layers of voxels are taken off it.
        flip: Probability of a left-right flip.
        affine: Probability of a rotation, scaling and translation together.
        scale: Scaling is drawn from 1 - scale to 1 + scale, for each axis.
        degrees: Rotation about each axis is drawn from -degrees to degrees.
        shift_mm: Translation along each axis is drawn from -shift_mm to shift_mm.
        anisotropy: Probability of simulated thick slices, along one axis.
        thickness: Range of the slice thickness, in multiples of the spacing.
        bias_field: Probability of a smooth multiplicative field.
        bias_strength: Largest coefficient of its polynomial.
        gamma: Probability of another contrast, x ** gamma.
        log_gamma: log(gamma) is drawn from -log_gamma to log_gamma.
        noise: Probability of Gaussian noise where there is signal.
        noise_std: Its standard deviation is drawn from 0 to noise_std, of the range [0, 1].
    """

    stripped: float = 0.5
    erosion: float = 0.5
    erosion_voxels: int = 2
    flip: float = 0.5
    affine: float = 0.8
    scale: float = 0.1
    degrees: float = 10.0
    shift_mm: float = 10.0
    anisotropy: float = 0.2
    thickness: tuple[float, float] = (1.5, 3.0)
    bias_field: float = 0.3
    bias_strength: float = 0.2
    gamma: float = 0.3
    log_gamma: float = 0.2
    noise: float = 0.2
    noise_std: float = 0.03

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"augment: {name} is {getattr(self, name)}: expected a probability, 0 to 1"
                )
        for name in STRENGTHS:
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"augment: {name} is {getattr(self, name)}: expected 0 or more")
        if not self.scale < 1:
            raise InputError(f"augment: scale is {self.scale}: expected less than 1")
        if self.degrees > MOST_DEGREES:
            raise InputError(
                f"augment: degrees is {self.degrees}: expected at most {MOST_DEGREES:g}"
            )
        if self.erosion_voxels < 1:
            raise InputError(
                f"augment: erosion_voxels is {self.erosion_voxels}: expected at least 1"
            )
        if not 1 <= self.thickness[0] <= self.thickness[1] < math.inf:
            raise InputError(
                f"augment: thickness is {self.thickness}: expected two multiples of the spacing, "
                "each at least 1, the smaller first"
            )

    @classmethod
    def none(cls) -> "AugmentConfig":
        """No augmentation: every volume as prepared, with its skull."""
        return cls(
            stripped=0, erosion=0, flip=0, affine=0, anisotropy=0, bias_field=0, gamma=0, noise=0
        )
