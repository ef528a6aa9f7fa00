"""``cgan3d-laf``: the 3D conditional GAN with local adaptive fusion (Yu et al., ISBI 2018).

There is no public code of the fusion. Our reading: where patches overlap, each has seen another
part of the head, and which of them is right depends on the place. The box, which is centred on
the brain, is divided into cells; in each cell the patches' predictions p are combined linearly,

    f(v) = sum_j w_j p_j(v),

with weights w of the cell's own, fitted on training patients to the target t by least squares
over the cell's brain, drawn to the plain mean by a ridge:

    min_w sum_v (t(v) - f(v))^2 + ridge * tr(A) / k * |w - 1/k|^2,    A = sum_v p(v) p(v)^T

for the k patches that cover the cell. Intensities count from the background, so background stays
background. The sums A and b are running ones: every ``fit_every``-th step adds a whole training
volume, translated as it would be at deployment, and older ones fade as the network moves on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.batch import PatchBatch
from hagan_clinic.backbone.optimisation import Update
from hagan_clinic.conditional.cgan3d_patch import PatchConfig, PatchPairGAN, PatchTranslator
from hagan_clinic.conditional.paired import same_everywhere
from hagan_clinic.conditional.patches import PatchGrid, place
from hagan_clinic.conditional.settings import presets
from hagan_clinic.errors import InputError
from hagan_clinic.training.config import check_range

FADES = 0.98
"""What is left of the sums when a volume is added: about fifty volumes count."""


class LocalFusion(PatchTranslator):
    """A U-Net on overlapping patches, fused cell by cell.

    Args:
        channels: source sequences.
        box: (D, H, W) of the volumes.
        patch: side of the patches, a multiple of 2 ** levels and of ``cell``.
        cell: side of the cells, which divides the box.
        ridge: how strongly weights are drawn to the mean.
        levels: of the U-Net.
        width: of its first layer.
    """

    weights: Tensor
    squares: Tensor
    products: Tensor

    def __init__(
        self,
        channels: int,
        box: tuple[int, int, int],
        *,
        patch: int,
        cell: int,
        ridge: float,
        levels: int,
        width: int,
    ) -> None:
        super().__init__(channels, patch=patch, levels=levels, width=width)
        self.box, self.cell, self.ridge = box, cell, ridge
        cover = _cover(self.grid())
        count = cover.shape[-1]
        self.register_buffer("weights", cover / cover.sum(-1, keepdim=True))
        self.register_buffer("squares", torch.zeros(*cover.shape[:3], count, count))
        self.register_buffer("products", torch.zeros_like(cover))

    def grid(self, source: Tensor | None = None) -> PatchGrid:
        """The patches of the box."""
        return PatchGrid(self.box, self.patch, self.cell)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Target and the scale of its error, (B, 1, D, H, W) each."""
        grid = self.grid()
        total = torch.zeros(())
        for number, signal in enumerate(self._signals(source)):
            weight = self.weights[None, None, ..., number]
            wide = functional.interpolate(weight, scale_factor=float(self.cell), mode="nearest")
            total = signal * wide + total.to(signal)
        target = grid.crop(total) - 1
        return target, same_everywhere(target)

    @torch.no_grad()
    def fit(self, source: Tensor, target: Tensor, brain: Tensor) -> None:
        """Add a volume (1, C, D, H, W) with its target and brain, and refit the weights."""
        grid = self.grid()
        inside = grid.pad(brain, 0.0)
        signals = [self._by_cell(signal * inside) for signal in self._signals(source)]
        predicted = torch.stack(signals, dim=-1)
        wanted = self._by_cell((grid.pad(target) + 1) * inside)
        # A step calls this under autocast, which would take the sums to bf16.
        with torch.autocast(source.device.type, enabled=False):
            squares = torch.einsum("...vi,...vj->...ij", predicted, predicted)
            products = torch.einsum("...vi,...v->...i", predicted, wanted)
        self.squares.mul_(FADES).add_(squares)
        self.products.mul_(FADES).add_(products)
        self.weights.copy_(self._solved().to(self.weights))

    def _solved(self) -> Tensor:
        """The weights of every cell, 0 for the patches that do not cover it."""
        cover = _cover(self.grid()).to(self.squares).double()
        squares, products = self.squares.double(), self.products.double()
        mean = cover / cover.sum(-1, keepdim=True)
        strength = self.ridge * squares.diagonal(dim1=-2, dim2=-1).sum(-1) / cover.sum(-1)
        # What is not known stays as it is: a patch that does not cover the cell, and every patch
        # where no brain was seen.
        known = cover * (strength > 0)[..., None]
        system = squares + torch.diag_embed(strength[..., None] * known + (1 - known))
        moved: Tensor = torch.linalg.solve(system, products - (squares @ mean[..., None])[..., 0])
        return mean + cover * moved

    def _signals(self, source: Tensor) -> list[Tensor]:
        """What each patch predicts above the background, in the padded box."""
        grid = self.grid()
        patches = grid.cut(grid.pad(source))
        return [
            place(self.unet(patch) + 1, start, grid.padded)
            for start, patch in zip(grid.starts, patches, strict=True)
        ]

    def _by_cell(self, volume: Tensor) -> Tensor:
        """(1, 1, D, H, W) -> (cells along D, H, W, voxels of a cell)."""
        (d, h, w), side = self.grid().cells, self.cell
        cells = volume.float().reshape(d, side, h, side, w, side)
        return cells.permute(0, 2, 4, 1, 3, 5).flatten(3)


def _cover(grid: PatchGrid) -> Tensor:
    """Which patches cover which cell: (cells along D, H, W, patches), 0 or 1."""
    cover = torch.zeros(*grid.cells, len(grid.starts))
    across = grid.side // grid.cell
    for number, start in enumerate(grid.starts):
        d, h, w = (first // grid.cell for first in start)
        cover[d : d + across, h : h + across, w : w + across, number] = 1
    return cover


@dataclass(frozen=True)
class FusionConfig(PatchConfig):
    """Settings of ``--model cgan3d-laf``.

    Attributes:
        size: (D, H, W) of the training box, which holds a brain at 1.5 mm by default.
        cell: side of the cells in which patches are fused, which divides patch and size.
        ridge: how strongly the weights of a cell are drawn to the mean.
        fit_every: steps from one whole volume of the fit to the next.
    """

    model: str = "cgan3d-laf"
    size: tuple[int, int, int] | None = (128, 160, 128)
    cell: int = 16
    ridge: float = 0.01
    fit_every: int = 10

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        width=8, size=(32, 48, 32), patch=32, levels=5, cell=8, fit_every=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("cell", "ridge", "fit_every"))
        if self.size is None:
            raise InputError(
                "size is missing: the fusion is fitted at places of a box, e.g. --size 128,160,128"
            )
        if any(length % self.cell for length in (self.patch, *self.size)):
            raise InputError(
                f"cell is {self.cell}: expected a number that divides patch ({self.patch}) and "
                f"size ({'x'.join(map(str, self.size))})"
            )

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts patches."""
        return {"cube": self.patch, "whole": True}


class LocalFusionGAN(PatchPairGAN):
    """The 3D conditional GAN whose fusion is fitted as it trains."""

    settings_class = FusionConfig
    settings: FusionConfig
    translator: LocalFusion

    def __init__(self, settings: FusionConfig) -> None:
        assert settings.size is not None
        translator = LocalFusion(
            len(settings.source),
            settings.size,
            patch=settings.patch,
            cell=settings.cell,
            ridge=settings.ridge,
            levels=settings.levels,
            width=settings.width,
        )
        super().__init__(settings, translator=translator)

    @property
    def cycle(self) -> int:
        """Steps until every part has been updated."""
        return self.settings.fit_every

    def training_step(
        self, batch: Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """The step of the patches, then now and then a volume for the fusion."""
        terms = super().training_step(batch, step, update)
        if (step + 1) % self.settings.fit_every == 0:
            self.translator.fit(*(volume[:1].float() for volume in PatchBatch.of(batch).wholes()))
        return terms
