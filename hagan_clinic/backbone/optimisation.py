"""What a model tells the training loop about its optimisers."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Update = Callable[[str, Tensor], None]
"""update(group, loss): backward and one optimiser step on a named parameter group."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters moved by one optimiser.

    Attributes:
        parameters: what moves.
        lr: the highest learning rate.
        betas: Adam's.
        weight_decay: decoupled.
        decays: whether the rate warms up and falls along a cosine, or stays.
        muon: whether Muon moves the hidden convolutions; AdamW moves the rest, or all.
    """

    parameters: list[nn.Parameter]
    lr: float
    betas: tuple[float, float]
    weight_decay: float = 0.0
    decays: bool = False
    muon: bool = False
