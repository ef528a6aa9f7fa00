"""Bytes and products of a step of the unconditional model and of the authors', without a GPU.

    PYTHONPATH=. python benchmarks/gpu/counted.py

Tensors without content go through one step of 256 cubed. At every moment what is alive is added up:
weights, moments, gradients, activations and what is on its way, but not what a kernel takes for
itself, nor allocated room that lies idle. On an H200 the authors' step took 3986 and 6876 MiB.
"""

import time
from collections.abc import Mapping
from typing import Any

import torch
from authors import Step
from given import given, tell
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from hagan_clinic.evaluation.counted_memory import MIB, Living, one_step
from hagan_clinic.training.registry import gather_settings
from hagan_clinic.unconditional.settings import UnconditionalConfig


class Products(FlopCounterMode):
    """Counts floating point operations, which no precision changes."""

    def __init__(self) -> None:
        super().__init__(display=False)

    @property
    def tera(self) -> float:
        """10^12 of them."""
        return float(self.get_total_flops()) / 1e12


def authors(settings: Mapping[str, Any], batch: int, counter: Living | Products) -> None:
    """Count the authors' step."""
    told = gather_settings(None, [], {**settings, "batch_size": batch, "norm": "group"})
    assert isinstance(told, UnconditionalConfig)
    config = told.sizes()
    moments = []
    with FakeTensorMode(), counter:
        step = Step(config)
        for parameters, optimizer in step.optimized():
            moments += [torch.zeros_like(p) for p in parameters for _ in range(2)]
            optimizer.step = lambda: None  # type: ignore[method-assign]
        volumes = torch.empty(batch, 1, *config.size)
        step.step(volumes, config.slab)


def ours(
    settings: Mapping[str, Any], batch: int, given: Mapping[str, Any], counter: Living | Products
) -> None:
    """Count our step with these settings, the moving average included."""
    one_step({**settings, "batch_size": batch, **given}, counter)


def main() -> None:
    """A row a setting, with its share of the authors'."""
    arguments = given()
    half = {"precision": "bf16-mixed"}
    recomputed = half | {"gradient_checkpointing": True}
    for batch in (2,) if arguments.small else (2, 4):
        authors(arguments.cube, batch, theirs := Living())
        authors(arguments.cube, batch, their_products := Products())
        ours(arguments.cube, batch, {}, products := Products())
        row = {"code": "authors", "precision": "fp32", "batch": batch}
        tell(**row, **{"MiB": theirs.peak / MIB, "TFLOP": their_products.tera})
        tell(code="ours", precision="any", batch=batch, TFLOP=products.tera)
        for name, settings in (
            ("fp32", {}),
            ("fp32, checkpointing", {"gradient_checkpointing": True}),
            ("bf16", half),
            ("bf16, checkpointing", recomputed),
            ("fp32, slab 1/2", {"slab": arguments.cube["size"][0] // 2}),
        ):
            began = time.monotonic()
            ours(arguments.cube, batch, settings, living := Living())
            row = {"code": "ours", "precision": name, "batch": batch}
            tell(**row, **{"MiB": living.peak / MIB, "of their MiB": living.peak / theirs.peak})
            if arguments.left < 2 * (time.monotonic() - began):
                return


if __name__ == "__main__":
    main()
