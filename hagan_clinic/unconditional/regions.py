"""Reconstruction that attends to regions: an error counts more where a map says that it matters."""

import torch
from torch import Tensor
from torch.nn import functional


def attended_error(
    prediction: Tensor, target: Tensor, attention: Tensor | None, *, squared: bool = False
) -> Tensor:
    """L1 error, weighted by a map and averaged over each sample's weights, then over samples.

    Args:
        prediction: (B, 1, D, H, W).
        target: (B, 1, D, H, W).
        attention: (B, 1, D, H, W), how much each voxel counts, above 0; None for all alike.
        squared: square errors within 1 instead (Huber).
    """
    loss = functional.smooth_l1_loss if squared else functional.l1_loss
    if attention is None:
        return loss(prediction, target)
    axes = (1, 2, 3, 4)
    errors = loss(prediction, target, reduction="none") * attention
    return (errors.sum(axes) / attention.sum(axes)).mean()


def attention_of(region: Tensor | None, weight: float) -> Tensor | None:
    """How much voxels count: 1, and ``weight`` more where the region (0 to 1) is."""
    return None if region is None or not weight else torch.add(1.0, region, alpha=weight)
