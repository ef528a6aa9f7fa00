"""Bytes and products of a step of the unconditional model and of the authors', without a GPU.

    PYTHONPATH=. python benchmarks/gpu/counted.py

Tensors without content go through one step of 256 cubed. At every moment what is alive is added up:
weights, moments, gradients, activations and what is on its way, but not what a kernel takes for
itself, nor allocated room that lies idle. On an H200 the authors' step took 3986 and 6876 MiB.
"""

import gc
import time
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from authors import Step
from given import given, tell
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from hagan_clinic.training.loop import optimizer_of, to_channels_last
from hagan_clinic.training.registry import build_model, gather_settings
from hagan_clinic.unconditional import HAGAN, HAGANConfig

MIB = 2**20


class Living(TorchDispatchMode):
    """Adds up the storages that are alive.

    Attributes:
        now: bytes.
        peak: the most there ever were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if (
                isinstance(tensor, Tensor)
                and (storage := tensor.untyped_storage()) not in self.seen
            ):
                size = storage.nbytes()
                self.seen[storage] = size
                weakref.finalize(storage, self._gone, size)
                self.now += size
                self.peak = max(self.peak, self.now)
        return result

    def _gone(self, size: int) -> None:
        self.now -= size


class Products(FlopCounterMode):
    """Counts floating point operations, which no precision changes."""

    def __init__(self) -> None:
        super().__init__(display=False)

    @property
    def tera(self) -> float:
        """10^12 of them."""
        return float(self.get_total_flops()) / 1e12


class Numbers(list[int]):
    """Whole numbers where a step expects a tensor on the CPU: one without content tells none."""

    @property
    def shape(self) -> tuple[int]:
        """Of the tensor."""
        return (len(self),)

    def tolist(self) -> list[int]:
        """Themselves."""
        return list(self)

    def __truediv__(self, other: float) -> Tensor:
        return torch.empty(len(self))


def authors(settings: Mapping[str, Any], batch: int, counter: Living | Products) -> None:
    """Count the authors' step."""
    config = _ours(settings, batch, {"norm": "group"})[1].config
    assert isinstance(config, HAGANConfig)
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
    config, _ = _ours(settings, batch, given)
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        model = build_model(config)
        assert isinstance(model, HAGAN)
        to_channels_last(model)
        average = AveragedModel(model.averaged)
        moments: list[Tensor] = []
        groups = model.groups()
        for group in groups.values():
            kept = 1 if type(optimizer_of(group)).__name__ == "UnaveragedAdam" else 2
            moments += [torch.zeros_like(p) for p in group.parameters for _ in range(kept)]

        def update(name: str, loss: Tensor) -> None:
            with torch.autocast("cpu", enabled=False):
                loss.backward()  # type: ignore[no-untyped-call]
            _without_gradients(groups[name].parameters)
            torch.clear_autocast_cache()
            gc.collect()  # tensors without content are kept by cycles that others are not

        d, h, w = model.config.size
        slab = model.config.slab
        numbers: Any = Numbers([slab] * batch)
        samples: dict[str, Any] = {
            "source_window": torch.empty(batch, 1, slab, h, w),
            "source_low": torch.empty(batch, 1, d // 4, h // 4, w // 4),
            "source_whole": torch.empty(batch, 1, d, h, w),
            "slab_start": numbers,
            "index": numbers,
        }
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            model.training_step(samples, 1, update)
        del average


def _ours(settings: Mapping[str, Any], batch: int, given: Mapping[str, Any]) -> tuple[Any, HAGAN]:
    config = gather_settings(None, [], {**settings, "batch_size": batch, **given})
    with torch.device("meta"):
        model = build_model(config)
    assert isinstance(model, HAGAN)
    return config, model


def _without_gradients(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


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
