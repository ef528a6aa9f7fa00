"""The noise z that volumes are made from, a function of the run's seed and of numbers."""

import torch
from torch import Tensor


def noise(seed: int, numbers: Tensor, draw: int, latent: int) -> Tensor:
    """Noise z (B, latent) on the CPU, each row a function of (seed, sample number, draw) alone.

    So a run that is cut in two, or spread over processes, draws what one run draws.
    """
    rows = []
    for number in numbers.tolist():
        source = torch.Generator().manual_seed(((seed * 2_147_483_629 + number) * 2 + draw) % 2**63)
        rows.append(torch.randn(latent, generator=source))
    return torch.stack(rows)
