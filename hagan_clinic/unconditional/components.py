"""A linear model inside the network: the mean volume, and what z adds to it and is read by.

A small cohort tells little more than its mean and its principal components before a network has
trained for long. With ``HAGANConfig(components=True)`` both are fitted before the first step: z is
the whitened scores, so that encoded z are of mean 0 and covariance I, and G and E begin as the
linear model and learn what it leaves. The components are kept on a coarse grid, the mean is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.blocks import depth_to_space
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.errors import InputError

AIR = -1.0
CELL = LOW_RES_FACTOR**3
"""Voxels of the image beside one of A."""

STILL = 1e-3
"""Standard deviation of coarse voxels that no component moves, of images in [-1, 1]."""


@dataclass(frozen=True, eq=False)
class Components:
    """Mean and principal components of volumes.

    Attributes:
        mean: (1, 1, D, H, W).
        axes: (latent, voxels), orthonormal, over the coarse grid.
        deviations: (latent,), standard deviations of the scores.
    """

    mean: Tensor
    axes: Tensor
    deviations: Tensor


def fit_components(volumes: Iterator[Tensor], latent: int, factor: int) -> Components:
    """The components of volumes (B, 1, D, H, W), averaged over cubes of ``factor`` voxels.

    Raises:
        InputError: fewer volumes than z has numbers.
    """
    count, total, rows = 0, None, []
    for batch in volumes:
        total = batch.sum(0, keepdim=True) + (0 if total is None else total)
        count += len(batch)
        rows.append(functional.avg_pool3d(batch, factor).flatten(1))
    if total is None or count <= latent:
        raise InputError(
            f"{count} volumes for a latent of {latent}: expected more; raise component_draws, or "
            "lower latent"
        )
    coarse = torch.cat(rows)
    coarse -= coarse.mean(0)
    coarse[:, coarse.std(0) < STILL] = 0
    # Of the small side: volumes are few, voxels many.
    squares, left = torch.linalg.eigh(coarse @ coarse.T)
    squares, left = squares.flip(0)[:latent].clamp_min(1e-6), left.flip(1)[:, :latent]
    axes = (left.T @ coarse) / squares.sqrt()[:, None]
    return Components(total / count, axes, (squares / (count - 1)).sqrt())


class ComponentImage(nn.Module):
    """z (B, latent) -> the linear model's volume (B, 1, D, H, W); nothing of it trains."""

    def __init__(self, size: tuple[int, int, int], latent: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.coarse = tuple(side // factor for side in size)
        self.register_buffer("mean", torch.full((1, 1, *size), AIR))
        self.register_buffer("axes", torch.zeros(latent, _product(self.coarse)))
        self.register_buffer("places", None)
        self.mean: Tensor
        self.axes: Tensor
        self.places: Tensor | None

    def forward(self, latent: Tensor) -> Tensor:
        """Mean and components, which are interpolated linearly between coarse voxels."""
        values = latent @ self.axes
        if self.places is not None:
            values = functional.pad(values, (0, 1))[:, self.places]
        moved = values.reshape(-1, 1, *self.coarse)
        moved = functional.interpolate(moved, scale_factor=float(self.factor), mode="trilinear")
        return self.mean + moved

    def start(self, found: Components) -> None:
        """Take the components over: unit scores are one standard deviation."""
        self.mean.copy_(found.mean)
        self.axes.copy_(found.axes * found.deviations[:, None])

    def compact(self) -> None:
        """Leave out the voxels that nothing moves, three in four around a brain: for a file."""
        moved = self.axes.any(0)
        count = int(moved.sum())
        self.places = torch.full_like(moved, count, dtype=torch.long)
        self.places[moved] = torch.arange(count, device=moved.device)
        self.axes = self.axes[:, moved].contiguous()


class ComponentScores(nn.Module):
    """Volumes on the coarse grid (B, 1, d, h, w) -> their whitened scores (B, latent)."""

    def __init__(self, size: tuple[int, int, int], latent: int, factor: int) -> None:
        super().__init__()
        voxels = _product(tuple(side // factor for side in size))
        self.register_buffer("axes", torch.zeros(latent, voxels))
        self.register_buffer("origin", torch.zeros(latent))
        self.register_buffer("places", None)
        self.axes: Tensor
        self.origin: Tensor
        self.places: Tensor | None

    def forward(self, coarse: Tensor) -> Tensor:
        """Project on the components, in standard deviations from the mean volume."""
        values = coarse.flatten(1)
        if self.places is not None:
            values = values[:, self.places]
        return values @ self.axes.T - self.origin

    def start(self, found: Components, factor: int) -> None:
        """Take the components over."""
        self.axes.copy_(found.axes / found.deviations[:, None])
        mean = functional.avg_pool3d(found.mean, factor).flatten(1)
        self.origin.copy_((mean @ self.axes.T)[0])

    def compact(self) -> None:
        """Leave out the voxels that no score looks at."""
        self.places = self.axes.any(0).nonzero()[:, 0]
        self.axes = self.axes[:, self.places].contiguous()


class Cells(nn.Module):
    """An image as channels of a coarser grid, one for each voxel of a cube, and back.

    Convolutions with kernels of a single 1: unlike a reshape, a file of them takes any depth and
    any number of slabs.

    Args:
        side: of a cube, in voxels; a power of 2.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        kernel = torch.eye(side**3).reshape(side**3, side**3, 1, 1, 1)
        while kernel.shape[2] < side:
            kernel = depth_to_space(kernel)
        self.register_buffer("kernel", kernel, persistent=False)
        self.kernel: Tensor

    def apart(self, image: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, side^3, D/side, H/side, W/side)."""
        return functional.conv3d(image, self.kernel, stride=self.side)

    def together(self, channels: Tensor) -> Tensor:
        """The inverse of :meth:`apart`."""
        return functional.conv_transpose3d(channels, self.kernel, stride=self.side)


def compact(module: nn.Module) -> None:
    """Make the linear parts of a network small, in place: it can no longer load a checkpoint."""
    for part in module.modules():
        if isinstance(part, ComponentImage | ComponentScores):
            part.compact()


def _product(sizes: tuple[int, ...]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
