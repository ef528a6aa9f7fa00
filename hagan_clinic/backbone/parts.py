"""The parts of a model, which `summary` lists and measures before training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Part:
    """How a part is run.

    Attributes:
        symbol: the paper's, such as G^A.
        module: its layers.
        given: the shapes of what it is given for one sample.
        run: what it does with them.
    """

    symbol: str
    module: nn.Module
    given: tuple[tuple[int, ...], ...]
    run: Callable[..., Any]
