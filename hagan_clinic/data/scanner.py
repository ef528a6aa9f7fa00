"""What a scanner does to the intensities of a head: bias field, contrast, noise, thick slices.

Values are in [0, 1] with the background at 0, which stays 0. Each works on any part of a volume,
given by its ``Lattice``, and gives there what it would give in the whole volume.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hagan_clinic.data.draws import BIAS_FIELD_ORDER
from hagan_clinic.volume import Shape

KNOT_EVERY = 4
"""Voxels between the places where the bias field is evaluated: it is smooth."""


class Lattice(NamedTuple):
    """Where samples of a volume lie along one of its axes, in voxels.

    Attributes:
        first: Place of the first one.
        step: To the next one.
        length: How many there are.
        side: Voxels of the volume.
    """

    first: float
    step: float
    length: int
    side: int

    def places(self, device: torch.device) -> Tensor:
        """All of them, float32."""
        return self.first + self.step * torch.arange(self.length, device=device)


Lattices = Sequence[Lattice]
"""Along D, H, W."""


def bias_field(
    coefficients: NDArray[np.float64], lattices: Lattices, device: torch.device
) -> Tensor:
    """TorchIO's field: exp of a polynomial of the place in the volume, -1 to 1 along each axis.

    Args:
        coefficients: (C, 20), in TorchIO's order.
        lattices: Where it is wanted.
        device: Where it is to be.

    Returns:
        (C, D, H, W), to a hundredth: it is evaluated at every fourth voxel and interpolated.
    """
    order = BIAS_FIELD_ORDER + 1
    powers = [
        (a, b, c) for a in range(order) for b in range(order - a) for c in range(order - a - b)
    ]
    cube = np.zeros((len(coefficients), order, order, order))
    for column, power in zip(coefficients.T, powers, strict=True):
        cube[:, *power] = column
    axes = [_knots(lattice.side) for lattice in lattices]
    powers_of = (np.vander(places, order, increasing=True) for places in axes)
    knots = _along_each(torch.from_numpy(cube), *map(torch.from_numpy, powers_of)).exp()
    return _along_each(knots.float().to(device), *(_hats(axis, device) for axis in lattices))


def _along_each(image: Tensor, along_d: Tensor, along_h: Tensor, along_w: Tensor) -> Tensor:
    """(C, d, h, w) times a matrix (D, d), (H, h), (W, w) along each axis: (C, D, H, W)."""
    image = (
        (image.flatten(2).transpose(1, 2) @ along_d.T).transpose(1, 2).unflatten(2, image.shape[2:])
    )
    return (along_h @ image) @ along_w.T


def _knots(side: int) -> NDArray[np.float64]:
    """Places of the knots along an axis, as the polynomial counts."""
    knots = np.arange(_knot_count(side)) * KNOT_EVERY - (side - 1) / 2
    return np.asarray(knots / max((side - 1) / 2, 0.5), np.float64)


def _knot_count(side: int) -> int:
    return -(-(side - 1) // KNOT_EVERY) + 1


def _hats(lattice: Lattice, device: torch.device) -> Tensor:
    """(length, knots): the weights of linear interpolation."""
    knots = torch.arange(_knot_count(lattice.side), device=device)
    distance = lattice.places(device)[:, None] / KNOT_EVERY - knots
    return (1 - distance.abs()).clamp_(min=0)


def contrast(image: Tensor, gamma: NDArray[np.float64]) -> Tensor:
    """Another contrast: x ** gamma, each channel of (C, D, H, W) by its own, in place."""
    for channel, power in zip(image, gamma.tolist(), strict=True):
        channel.pow_(power)
    return image


def noisy(image: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """With Gaussian noise where there is signal, in place."""
    noise = torch.randn(image.shape, device=image.device, generator=generator)
    return image.add_(noise.mul_(std).masked_fill_(image == 0, 0))


def thick_slices(
    image: Tensor, axis: int, thickness: float, given: Lattice, wanted: Lattice
) -> Tensor:
    """Thick slices along one axis, resampled to thin ones: TorchIO's anisotropy.

    A thick slice takes the values of the voxel nearest to its centre, and voxels lie on the lines
    between these.

    Args:
        image: (C, D, H, W).
        axis: 0 to 2.
        thickness: In voxels of the volume.
        given: Where the image has values along the axis: on every voxel, within two thick
            slices of what is wanted or up to the volume's borders.
        wanted: Where they are wanted.
    """
    count = max(int(given.side / thickness), 1)
    first = (given.side - 1 - (count - 1) * thickness) / 2
    place = (wanted.places(image.device) - first) / thickness
    below = place.floor()

    def values(number: Tensor) -> Tensor:
        centre = first + number.clamp(0, count - 1) * thickness
        voxel = (centre + 0.5).floor().clamp(0, given.side - 1)
        return image.index_select(axis + 1, (voxel - given.first).long())

    weight = (place - below).reshape([-1 if dim == axis else 1 for dim in range(3)])
    return torch.lerp(values(below), values(below + 1), weight)


def thick_margin(thick: tuple[int, float] | None) -> Shape:
    """Voxels around a part that its thick slices take their values from."""
    if thick is None:
        return 0, 0, 0
    d, h, w = (int(thick[1]) + 2 if axis == thick[0] else 0 for axis in range(3))
    return d, h, w
