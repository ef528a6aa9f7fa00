"""Augmentation on prepared volumes: what a scanner or a head could have done otherwise.

The transforms are TorchIO's, on a ``tio.Subject`` with the images ``source`` (C channels),
``target`` and ``brain``. Values are in [-1, 1] before and after and the background is -1; in
between the intensity transforms work on [0, 1], where it is 0. Geometry moves all images alike,
intensity changes the source alone: the target is what the network has to say, so it stays.
"""

import math
from dataclasses import dataclass

import torch
import torchio as tio
from torch import Tensor
from torch.nn import functional
from torchio.transforms.augmentation import RandomTransform
from torchio.transforms.intensity_transform import IntensityTransform

from hagan_clinic.errors import InputError

PROBABILITIES = (
    "stripped", "erosion", "flip", "affine", "anisotropy", "bias_field", "gamma", "noise",
)  # fmt: skip
STRENGTHS = ("scale", "degrees", "shift_mm", "bias_strength", "log_gamma", "noise_std")
SOURCE = ["source"]
BIAS_FIELD_ORDER = 3
BIAS_FIELD_STEP = 8


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities and strengths; a probability of 0 switches a transform off.

    Raises:
        InputError: a probability outside 0 to 1, a negative strength, or a range upside down.

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
    affine: float = 0.7
    scale: float = 0.08
    degrees: float = 8.0
    shift_mm: float = 4.0
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


class BiasField(RandomTransform, IntensityTransform):
    """TorchIO's bias field, drawn on every eighth voxel and interpolated.

    ``tio.RandomBiasField`` evaluates its polynomial at each voxel, which takes half a second on
    the volumes used here; the field is smooth, so this loses nothing. It is scaled to a mean of
    1 over the head, because the intensity window would take a common factor out again.
    """

    def __init__(self, strength: float, p: float) -> None:
        super().__init__(p=p, include=SOURCE, copy=False)  # type: ignore[no-untyped-call]
        self.strength = strength

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Multiply each image of the subject, values in [0, 1], by its own field."""
        for image in self.get_images(subject):
            coarse = torch.empty(
                1, *(2 * max(1, side // (2 * BIAS_FIELD_STEP)) for side in image.spatial_shape)
            )
            coefficients = tio.RandomBiasField().get_params(
                BIAS_FIELD_ORDER, (-self.strength, self.strength)
            )
            field = torch.from_numpy(
                tio.BiasField.generate_bias_field(coarse, BIAS_FIELD_ORDER, coefficients)
            )
            field = functional.interpolate(
                field[None, None], image.spatial_shape, mode="trilinear", align_corners=True
            )[0]
            head = image.data[:1] > 0
            image.set_data(image.data * (field * (head.sum() / (field * head).sum().clamp_min(1))))
        return subject


class SignalNoise(RandomTransform, IntensityTransform):
    """Gaussian noise where there is signal: the background of a prepared volume stays empty."""

    def __init__(self, std: float, p: float) -> None:
        super().__init__(p=p, include=SOURCE, copy=False)  # type: ignore[no-untyped-call]
        self.std = std

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Add noise of one random strength to each image of the subject, values in [0, 1]."""
        for image in self.get_images(subject):
            noise = torch.randn(image.data.shape) * (self.std * torch.rand(1))
            image.set_data(image.data + noise * (image.data > 0))
        return subject


def augmentation(config: AugmentConfig) -> tio.Compose:
    """The transforms of a configuration, in the order of the physics: head, then scanner."""
    return tio.Compose(
        [
            tio.RandomFlip(axes=(2,), flip_probability=1, p=config.flip, copy=False),
            tio.RandomAffine(
                scales=config.scale,
                degrees=config.degrees,
                translation=config.shift_mm,
                default_pad_value=-1.0,
                p=config.affine,
                copy=False,
            ),
            tio.Lambda(_from_network, include=SOURCE, copy=False),
            BiasField(config.bias_strength, p=config.bias_field),
            tio.RandomGamma(
                log_gamma=(-config.log_gamma, config.log_gamma),
                p=config.gamma,
                include=SOURCE,
                copy=False,
            ),
            SignalNoise(config.noise_std, p=config.noise),
            tio.RandomAnisotropy(
                downsampling=config.thickness, p=config.anisotropy, include=SOURCE, copy=False
            ),
            tio.Lambda(_to_network, include=SOURCE, copy=False),
        ],
        copy=False,
    )


def _from_network(values: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return (values + 1) / 2


def _to_network(values: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], clipped."""
    return values.clamp(0, 1) * 2 - 1
