"""Adam with beta_1 = 0, as GANs are trained by: without the first moment, which is the gradient.

That moment is a copy of every weight that ``torch.optim.AdamW`` keeps and reads all the same.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

EPS = 1e-8


class UnaveragedAdam(Optimizer):
    """AdamW (Loshchilov & Hutter 2019) with betas (0, beta2), over all weights at once.

    Args:
        parameters: to be updated.
        lr: learning rate.
        beta2: decay of the squared gradients' mean.
        weight_decay: decoupled.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        beta2: float = 0.999,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "beta2": beta2, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            updated = [p for p in group["params"] if p.grad is not None]
            if not updated:
                continue
            for parameter in updated:
                if not self.state[parameter]:
                    self.state[parameter]["step"] = torch.zeros(())
                    self.state[parameter]["exp_avg_sq"] = torch.zeros_like(parameter)
            states = [self.state[parameter] for parameter in updated]
            gradients = [parameter.grad for parameter in updated if parameter.grad is not None]
            counts = [float(state["step"].add_(1)) for state in states]
            squares = [state["exp_avg_sq"] for state in states]
            roots = moved_roots(squares, gradients, counts, group["beta2"])
            torch._foreach_mul_(updated, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_addcdiv_(updated, gradients, roots, value=-group["lr"])


def moved_roots(
    squares: list[Tensor], gradients: list[Tensor], counts: list[float], beta2: float
) -> list[Tensor]:
    """Take the gradients into the mean squares; the roots that Adam divides by.

    Args:
        squares: a mean a parameter; changed.
        gradients: one each.
        counts: steps taken with each, this one too.
        beta2: decay of the means.
    """
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
    roots: list[Tensor] = list(torch._foreach_div(squares, [1 - beta2**count for count in counts]))
    torch._foreach_sqrt_(roots)
    torch._foreach_add_(roots, EPS)
    return roots
