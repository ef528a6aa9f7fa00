"""Volumes with geometry: orientation, resampling, cropping and padding, each with its inverse.

An array may have any axis order; its ``affine`` maps array indices to RAS+ millimetres. The
canonical order is (D, H, W): inferior to superior, posterior to anterior, left to right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.separable import ANTIALIAS_RATIO, interpolated, interpolation

Affine = NDArray[np.float64]
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

SAME_PLACE_MM = 1e-2
"""Grids whose corner voxels lie this close are one. Formats, and tools between them, round affines
by some micrometres over the width of a head; no tissue is seen at a hundredth of a voxel."""

# In voxels: how far a lattice may turn away from another's axes and still count as parallel.
_PARALLEL = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """A lattice of voxels in space.

    Attributes:
        shape: Number of voxels along each array axis.
        affine: 4x4 float64 matrix from array indices to RAS+ mm; read-only.

    Raises:
        InputError: If an axis is empty or the affine is not finite or cannot be inverted.
    """

    shape: Shape
    affine: Affine

    def __post_init__(self) -> None:
        shape = tuple(int(size) for size in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"found a volume of shape {shape}, expected three non-empty axes")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    def __repr__(self) -> str:
        size = "x".join(str(n) for n in self.shape)
        spacing = "x".join(f"{step:.3g}" for step in self.spacing)
        return f"{size} voxels of {spacing} mm"

    @property
    def spacing(self) -> Spacing:
        """Distance in mm between neighbouring voxels along each array axis."""
        d, h, w = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(d), float(h), float(w)

    def corners(self) -> NDArray[np.float64]:
        """Positions in mm of the eight corner voxels, as columns."""
        indices = np.array(list(product(*((0, size - 1) for size in self.shape)))).T
        corners: NDArray[np.float64] = self.affine[:3, :3] @ indices + self.affine[:3, 3:]
        return corners

    def same_as(self, other: "Grid", tolerance_mm: float = SAME_PLACE_MM) -> bool:
        """Whether both have one shape and their corner voxels lie at the same places."""
        if self.shape != other.shape:
            return False
        distances = np.linalg.norm(self.corners() - other.corners(), axis=0)
        return bool(distances.max() <= tolerance_mm)


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A scalar image and its place in space.

    Attributes:
        array: Values, three axes in any order.
        affine: 4x4 float64 matrix from array indices to RAS+ mm; read-only.

    Raises:
        InputError: As `Grid`.
    """

    array: NDArray[Any]
    affine: Affine

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", Grid(self.array.shape, self.affine).affine)

    def __repr__(self) -> str:
        return f"{self.array.dtype} volume of {self.grid}"

    @property
    def grid(self) -> Grid:
        """The lattice that the voxels lie on."""
        return Grid(self.shape, self.affine)

    @property
    def shape(self) -> Shape:
        """Number of voxels along each array axis."""
        d, h, w = self.array.shape
        return d, h, w

    @property
    def spacing(self) -> Spacing:
        """Distance in mm between neighbouring voxels along each array axis."""
        return self.grid.spacing

    def with_array(self, array: NDArray[Any]) -> "Volume":
        """The same place with other values of the same shape."""
        if array.shape != self.array.shape:
            raise ValueError(f"array of shape {array.shape} on a grid of shape {self.shape}")
        return Volume(array, self.affine)


def canonical_grid(grid: Grid) -> Grid:
    """The grid with its axes permuted and flipped to the closest (S, A, R) order."""
    return _reoriented_grid(grid, _axes_to_canonical(grid.affine))


def to_canonical(volume: Volume) -> Volume:
    """Permute and flip the axes to the closest (S, A, R) order; obliquity stays in the affine.

    The array of the result is a view.
    """
    axes = _axes_to_canonical(volume.affine)
    return Volume(_reoriented(volume.array, axes), _reoriented_grid(volume.grid, axes).affine)


def to_axes_of(volume: Volume, grid: Grid) -> Volume:
    """Permute and flip the axes to those of `grid`, the exact inverse of `to_canonical`.

    Where the result lies on the lattice of `grid` it takes the affine of `grid` bit for bit.
    The array of the result is a view.
    """
    axes = _axes_to(grid, volume.affine)
    result = _reoriented_grid(volume.grid, axes)
    affine = grid.affine if result.same_as(grid) else result.affine
    return Volume(_reoriented(volume.array, axes), affine)


def same_lattice(one: Grid, other: Grid) -> bool:
    """Whether both have their voxels at the same places, whatever the order of their axes."""
    return _reoriented_grid(one, _axes_to(other, one.affine)).same_as(other)


def resampled_grid(grid: Grid, spacing: Sequence[float]) -> Grid:
    """A grid of another spacing over the same field of view.

    The new field has the same centre and covers the old one, by less than a new voxel more along
    each axis.

    Args:
        grid: The grid to start from.
        spacing: New spacing in mm along the axes of `grid`.
    """
    old, new = np.array(grid.spacing), np.array(spacing, dtype=np.float64)
    if new.shape != (3,) or not (np.isfinite(new).all() and new.min() > 0):
        raise ValueError(f"spacing {tuple(spacing)} is not three positive numbers of mm")
    extent = old * np.array(grid.shape)
    # A thousandth of a voxel absorbs rounding of the affine.
    shape = np.maximum(np.ceil(extent / new - 1e-3), 1).astype(int)
    affine = grid.affine.copy()
    affine[:3, :3] *= new / old
    centre = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
    d, h, w = shape.tolist()
    return Grid((d, h, w), affine)


def resample(volume: Volume, grid: Grid, fill: float = 0.0) -> Volume:
    """Trilinear interpolation on `grid`, which may have any orientation.

    Along axes of the volume on which `grid` is coarser by more than `ANTIALIAS_RATIO`, a Gaussian
    is applied first that widens the old voxel's point spread to the new one's (Cardoso et al.
    2015: variance (k² - 1) / (8 ln 2) in old voxels for a ratio k). Outside the field of view the
    result is `fill`.

    Returns:
        A float32 volume on `grid`, or the volume itself if it lies there already.
    """
    if volume.grid.same_as(grid):
        return Volume(volume.array, grid.affine)
    to_source = np.linalg.inv(volume.affine) @ grid.affine
    turned = to_source[:3, :3] * (1 - np.eye(3)) * grid.shape
    if np.abs(turned).sum(axis=1).max() < _PARALLEL:
        sizes = zip(volume.shape, grid.shape, to_source.diagonal(), to_source[:3, 3], strict=False)
        matrices = [interpolation(*given) for given in sizes]
        return Volume(interpolated(volume.array, matrices, fill), grid.affine)
    return Volume(_resampled(volume.array, to_source, grid.shape, fill), grid.affine)


def _resampled(
    array: NDArray[Any], to_source: Affine, shape: Shape, fill: float
) -> NDArray[np.float32]:
    """Values on a lattice of any orientation, whose indices an affine takes to the array's."""
    import SimpleITK as sitk

    # SimpleITK counts axes the other way round. Working in voxel indices, not in its own
    # orthonormal geometry, keeps sheared affines exact.
    matrix, offset = to_source[:3, :3][::-1, ::-1], to_source[:3, 3][::-1]
    image = sitk.GetImageFromArray(np.asarray(array, dtype=np.float32))
    ratios = np.linalg.norm(matrix, axis=1)
    if (ratios > ANTIALIAS_RATIO).any():
        variances = np.where(ratios > ANTIALIAS_RATIO, (ratios**2 - 1) / (8 * np.log(2)), 0.0)
        image = sitk.DiscreteGaussian(
            image, variance=variances.tolist(), maximumError=1e-3, maximumKernelWidth=129
        )
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(shape[::-1])
    resampler.SetTransform(sitk.AffineTransform(matrix.ravel().tolist(), offset.tolist()))
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(fill)
    values: NDArray[np.float32] = sitk.GetArrayFromImage(resampler.Execute(image))
    return values


def crop_or_pad(
    volume: Volume, start: Sequence[int], shape: Sequence[int], fill: float = 0.0
) -> Volume:
    """Cut out the box that begins at voxel `start`, padding with `fill` where it sticks out.

    The inverse is ``crop_or_pad(result, [-s for s in start], volume.shape)``, up to what the crop
    removed.

    Args:
        volume: Any volume.
        start: First voxel of the box along each axis; may be negative.
        shape: Size of the box in voxels.
        fill: Value of the voxels outside the volume.
    """
    inside, outside = [], []
    for first, size, available in zip(start, shape, volume.shape, strict=True):
        low, high = max(first, 0), min(first + size, available)
        high = max(low, high)
        inside.append(slice(low, high))
        outside.append(slice(low - first, high - first))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(start, dtype=np.float64)
    array = volume.array[tuple(inside)]
    if array.shape != tuple(shape):
        # Pages that hold nothing but zeros take no time.
        filled = np.zeros if fill == 0 else partial(np.full, fill_value=fill)
        padded = filled(tuple(shape), dtype=volume.array.dtype)
        if array.size:
            padded[tuple(outside)] = array
        array = padded
    return Volume(array, affine)


@dataclass(frozen=True)
class _Axes:
    """Which old axis becomes each new one, and whether it is flipped."""

    order: tuple[int, ...]
    flipped: tuple[bool, ...]


def _axes_to_canonical(affine: Affine) -> _Axes:
    return _closest_axes(_directions(affine)[::-1])


def _axes_to(grid: Grid, affine: Affine) -> _Axes:
    """How to turn axes of `affine` to be those of `grid`."""
    return _closest_axes(np.linalg.inv(_directions(grid.affine)) @ _directions(affine))


def _closest_axes(cosines: NDArray[np.float64]) -> _Axes:
    """The assignment of old axes (columns) to new axes (rows) with the largest cosines."""
    order = max(permutations(range(3)), key=lambda p: abs(cosines[range(3), p]).sum())
    return _Axes(order, tuple(bool(c < 0) for c in cosines[range(3), order]))


def _reoriented(array: NDArray[Any], axes: _Axes) -> NDArray[Any]:
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in axes.flipped)
    return array.transpose(axes.order)[flips]


def _reoriented_grid(grid: Grid, axes: _Axes) -> Grid:
    d, h, w = (grid.shape[axis] for axis in axes.order)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, axes.order]
    for axis, (flip, size) in enumerate(zip(axes.flipped, (d, h, w), strict=True)):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (size - 1)
            affine[:3, axis] *= -1
    return Grid((d, h, w), affine)


def _directions(affine: Affine) -> NDArray[np.float64]:
    """Unit vectors of the array axes in RAS, as columns."""
    columns = affine[:3, :3]
    directions: Affine = columns / np.linalg.norm(columns, axis=0)
    return directions


def _checked_affine(affine: Affine) -> Affine:
    checked = np.array(affine, dtype=np.float64)
    if checked.shape != (4, 4) or not np.isfinite(checked).all():
        raise InputError("the affine is not a finite 4x4 matrix: the volume's place is unknown")
    lengths = np.linalg.norm(checked[:3, :3], axis=0)
    if lengths.min() == 0 or abs(np.linalg.det(checked[:3, :3] / lengths)) < 1e-4:
        raise InputError(
            "the affine is singular: two array axes point the same way or a voxel has no extent; "
            "expected three independent axes; correct the header"
        )
    checked.setflags(write=False)
    return checked
