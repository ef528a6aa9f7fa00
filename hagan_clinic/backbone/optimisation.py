"""The parameter groups of a model and the optimiser of each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

Update = Callable[[str, Tensor], None]
"""update(group, loss): backward and one optimiser step on a named parameter group."""

MUON_BETAS = (0.9, 0.99)
"""Of the Adam that updates what Muon does not: first and last layers and norms."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters of one optimiser.

    Attributes:
        parameters: to be updated.
        lr: the highest learning rate.
        betas: Adam's.
        weight_decay: decoupled.
        decays: whether the rate warms up and falls along a cosine, or stays.
        muon: whether Muon updates the hidden convolutions; AdamW updates the rest, or all.
    """

    parameters: list[nn.Parameter]
    lr: float
    betas: tuple[float, float]
    weight_decay: float = 0.0
    decays: bool = False
    muon: bool = False


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """No gradients for these modules' weights within the block; they still pass gradients on."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
