"""Muon: momentum whose steps are made orthogonal, matrix by matrix.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the step's size
is matched to Adam's as by Liu et al. 2025, "Muon is scalable for LLM training".
``torch.optim.Muon`` takes matrices alone; a convolution is one here, (out, in * kernel).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

SMALLEST_SIDE = 8
"""Weights with fewer channels in or out (first and last layers) are left to Adam."""

ADAM_MATCH = 0.2
"""Root mean square of a step over its rate, that of Adam's steps in practice."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Muon(Optimizer):
    """Muon for the convolutions within a network, AdamW for everything else, at one rate.

    Args:
        parameters: what moves.
        lr: learning rate of both.
        momentum: Muon's, Nesterov's form.
        betas: Adam's.
        weight_decay: decoupled, for both.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                direction = _muon if _is_hidden(parameter) else _adam
                change = direction(parameter.grad, self.state[parameter], group)
                parameter.add_(change, alpha=-group["lr"])


def _is_hidden(parameter: Tensor) -> bool:
    return parameter.dim() > 1 and min(parameter.shape[:2]) >= SMALLEST_SIDE


def _muon(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum: Tensor = state["momentum"]
    momentum.mul_(group["momentum"]).add_(gradient)
    matrix = gradient.add(momentum, alpha=group["momentum"]).flatten(1)
    size = ADAM_MATCH * math.sqrt(max(matrix.shape))
    return size * orthogonal(matrix).view(gradient.shape)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values around 1, (m, n) -> (m, n).

    Five steps of a quintic Newton-Schulz iteration bring them to within about 0.7 and 1.2.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.float()
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype).contiguous()
    return result


def _adam(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["step"] = torch.zeros(())
        state["mean"] = torch.zeros_like(gradient)
        state["square"] = torch.zeros_like(gradient)
    beta1, beta2 = group["betas"]
    state["step"] += 1
    count = float(state["step"])
    mean: Tensor = state["mean"].lerp_(gradient, 1 - beta1)
    square: Tensor = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = (square / (1 - beta2**count)).sqrt()
    change: Tensor = mean / (1 - beta1**count) / (root + 1e-8)
    return change
