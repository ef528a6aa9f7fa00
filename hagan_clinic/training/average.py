"""The moving average of a model's weights, which is validated and exported."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


class MovingAverage(AveragedModel):
    """An exponential moving average whose memory grows with the run, up to ``decay``.

    Running batch statistics are averaged as the weights are: those of the last step belong to the
    last weights. Every other buffer is that of the last step.

    Args:
        model: to be averaged.
        decay: 0 takes the last weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def average(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
            torch._foreach_lerp_(averaged, current, 1 - _kept(decay, int(count)))

        super().__init__(model, multi_avg_fn=torch.no_grad()(average))
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move towards the model's weights; the first call copies them."""
        averaged = list(_statistics(self.module))
        before = [statistic.clone() for statistic in averaged]
        count = int(self.n_averaged) if before else 0
        super().update_parameters(model)
        if count:
            torch._foreach_lerp_(averaged, before, _kept(self.decay, count))


def _kept(decay: float, count: int) -> float:
    """How much of the average stays when it has seen so many steps."""
    return min(decay, (1 + count) / (10 + count))


def _statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            assert module.running_var is not None
            yield from (module.running_mean, module.running_var)
