"""Differentiable augmentation of a discriminator's input (Zhao et al. 2020), in 3D.

Real and synthetic images are changed alike, by changes that the generator's gradient passes
through, so the discriminator cannot learn a small cohort by heart and the generator does not learn
the changes. A slab and the low-resolution volume of one sample are changed in the same way, and
the slab axis is left alone, as D^H is given the position of a slab on it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class DiffAugment:
    """Strengths; images are in [-1, 1] with the background at -1.

    Attributes:
        brightness: the signal is scaled by a factor of 1 - brightness to 1 + brightness.
        contrast: bright signal is scaled up and dark signal down by so much, or the reverse.
        shift: largest translation, as a part of each in-plane side. None by default: heads lie at
            one place in their volumes, so the faults of a generator that come from its own grid
            do too, and a discriminator that sees them shifted learns them several times slower.
        cutout: side of an emptied square through the volume, as a part of each in-plane side.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    shift: float = 0.0
    cutout: float = 0.25

    def draw(self, samples: int, device: torch.device) -> Tensor:
        """Random numbers in [-1, 1) for so many samples: (B, 6)."""
        return torch.rand(samples, 6, device=device) * 2 - 1

    def __call__(self, images: Tensor, drawn: Tensor, cell: int = 1) -> Tensor:
        """(B, C, D, H, W) -> same, changed as ``drawn`` says.

        Edges lie between cells of ``cell`` x ``cell`` voxels in the plane: 4 at full resolution
        and 1 at a quarter of it, and both change alike.
        """
        signal = images + 1  # the background is 0, which is what translations bring in
        brightness, contrast, *_ = drawn[:, :, None, None, None, None].unbind(1)
        signal = signal * (1 + self.brightness * brightness)
        signal = signal * (1 + self.contrast * contrast * (signal - 1))
        return self._cut(self._shift(signal, drawn[:, 2:4], cell), drawn[:, 4:6], cell) - 1

    def _shift(self, signal: Tensor, by: Tensor, cell: int) -> Tensor:
        """Translate each sample in H and W by whole cells, background at the border."""
        if not self.shift:
            return signal  # nor is there a wait for the device to say by how much
        shifted = []
        for sample, parts in zip(signal, by, strict=True):
            steps = [
                round(float(part) * self.shift * side / cell) * cell
                for part, side in zip(parts, sample.shape[2:], strict=True)
            ]
            h, w = steps
            padding = [max(w, 0), max(-w, 0), max(h, 0), max(-h, 0)]
            padded = functional.pad(sample, padding)
            height, width = sample.shape[2:]
            shifted.append(
                padded[:, :, max(-h, 0) : max(-h, 0) + height, max(-w, 0) : max(-w, 0) + width]
            )
        return torch.stack(shifted)

    def _cut(self, signal: Tensor, centre: Tensor, cell: int) -> Tensor:
        """Empty a square of each sample, through all its slices."""
        masks = []
        for middle, side in zip(centre.unbind(1), signal.shape[3:], strict=True):
            places = torch.linspace(-1, 1, side // cell, device=signal.device)
            inside = (places[None] - middle[:, None]).abs() <= self.cutout
            masks.append(inside.repeat_interleave(cell, dim=1))
        hole = masks[0][:, :, None] & masks[1][:, None, :]
        return signal * (~hole)[:, None, None]
