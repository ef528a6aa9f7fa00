"""Convolutions in a row, with what lies between them kept or made again in the backward pass."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Step = Callable[[Tensor], Tensor]


def chained(
    features: Tensor,
    convolutions: Sequence[Step],
    between: Sequence[Step],
    *,
    recompute: bool,
) -> Tensor:
    """The last convolution's output.

    Args:
        features: what the first convolution takes.
        convolutions: n of them.
        between: n - 1 norms with their ReLU, cheap to run again.
        recompute: keep of each stretch what the convolution before it gave, and make what the
            next one took again when the backward pass needs it. No convolution runs twice:
            recomputing ends with the last tensor that was kept, the convolution's input.
    """
    features = convolutions[0](features)
    for light, convolve in zip(between, convolutions[1:], strict=True):
        if recompute and torch.is_grad_enabled():
            stretch = partial(_both, light, convolve)
            features = checkpoint(stretch, features, use_reentrant=False, preserve_rng_state=False)
        else:
            features = convolve(light(features))
    return features


def _both(light: Step, convolve: Step, features: Tensor) -> Tensor:
    return convolve(light(features))
