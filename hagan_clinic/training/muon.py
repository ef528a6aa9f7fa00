"""Muon: momentum whose steps are made orthogonal, matrix by matrix.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the step's size
is matched to Adam's as by Liu et al. 2025, "Muon is scalable for LLM training".
``torch.optim.Muon`` takes matrices alone; a convolution is one here, (out, in * kernel).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hagan_clinic.training.adam import moved_roots

SMALLEST_SIDE = 8
"""Weights with fewer channels in or out (first and last layers) are left to Adam."""

ADAM_MATCH = 0.2
"""Root mean square of a step over its rate, that of Adam's steps in practice."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Muon(Optimizer):
    """Muon for the convolutions within a network, AdamW for everything else, at one rate.

    Args:
        parameters: to be updated.
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
            updated = [p for p in group["params"] if p.grad is not None]
            if updated and group["weight_decay"]:
                torch._foreach_mul_(updated, 1 - group["lr"] * group["weight_decay"])
            for names, direction, own in (
                (("momentum",), _muon, [p for p in updated if _is_hidden(p)]),
                (("mean", "square"), _adam, [p for p in updated if not _is_hidden(p)]),
            ):
                if own:
                    states = [self._state(parameter, names) for parameter in own]
                    changes = direction([p.grad for p in own], states, group)
                    torch._foreach_add_(own, changes, alpha=-group["lr"])

    def _state(self, parameter: nn.Parameter, names: Sequence[str]) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state |= {name: torch.zeros_like(parameter) for name in names}
        return state


def _is_hidden(parameter: Tensor) -> bool:
    return parameter.dim() > 1 and min(parameter.shape[:2]) >= SMALLEST_SIDE


def _muon(
    gradients: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]
) -> list[Tensor]:
    """The weights of one shape are made orthogonal together."""
    momenta = [state["momentum"] for state in states]
    torch._foreach_mul_(momenta, group["momentum"])
    torch._foreach_add_(momenta, gradients)
    ahead = torch._foreach_add(gradients, momenta, alpha=group["momentum"])
    alike = defaultdict(list)
    for number, direction in enumerate(ahead):
        alike[direction.shape].append(number)
    changes = list(ahead)
    for shape, numbers in alike.items():
        matrices = orthogonal(torch.stack([ahead[number].flatten(1) for number in numbers]))
        size = ADAM_MATCH * math.sqrt(max(matrices.shape[1:]))
        for number, matrix in zip(numbers, matrices, strict=True):
            changes[number] = size * matrix.view(shape)
    return changes


def _adam(
    gradients: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]
) -> list[Tensor]:
    beta1, beta2 = group["betas"]
    counts = [float(state["step"].add_(1)) for state in states]
    means = [state["mean"] for state in states]
    torch._foreach_lerp_(means, gradients, 1 - beta1)
    roots = moved_roots([state["square"] for state in states], gradients, counts, beta2)
    changes: list[Tensor] = list(torch._foreach_div(means, [1 - beta1**count for count in counts]))
    torch._foreach_div_(changes, roots)
    return changes


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values around 1, (..., m, n) -> (..., m, n).

    Five steps of a quintic Newton-Schulz iteration bring them to within about 0.7 and 1.2.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.float()
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).to(matrices.dtype).contiguous()
    return result
