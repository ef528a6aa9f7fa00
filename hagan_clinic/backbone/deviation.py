"""How unlike the samples of a batch are, for a discriminator to see (Karras et al. 2018)."""

import torch
from torch import Tensor


def deviation(features: Tensor) -> Tensor:
    """The standard deviation over the batch, averaged over channels and positions: (B, ...) -> ().

    Where the generator makes one brain for every z it is lower for synthetic volumes than for
    patients, and a discriminator that is given it says so.
    """
    spread = features - features.mean(0, keepdim=True)
    # Not std: its gradient is not finite where all samples are alike.
    return torch.sqrt(spread.square().mean(0) + 1e-8).mean()


def with_deviation(features: Tensor) -> Tensor:
    """One more channel, the same everywhere: (B, C, ...) -> (B, C + 1, ...)."""
    shape = (len(features), 1, *features.shape[2:])
    return torch.cat([features, deviation(features).expand(shape)], dim=1)
