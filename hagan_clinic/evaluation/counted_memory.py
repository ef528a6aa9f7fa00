"""What a training step of the unconditional HA-GAN holds at its peak, counted without doing it.

Tensors without content go through one step, with all four updates, optimiser moments and moving
average. At every moment what is alive is added up: weights, moments, gradients, activations and
what is on its way, but not what a kernel takes for itself, nor allocated room that lies idle.
"""

import gc
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.errors import InputError
from hagan_clinic.training.adam import UnaveragedAdam
from hagan_clinic.training.loop import optimizer_of, to_channels_last
from hagan_clinic.training.registry import build_model, gather_settings
from hagan_clinic.unconditional import HAGAN, UnconditionalConfig

MIB = 2**20


class Living(TorchDispatchMode):
    """Adds up the storages that are alive.

    Attributes:
        now: bytes.
        peak: the most there ever were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
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


class Numbers(list[int]):
    """Whole numbers where a step expects a tensor on the CPU: one without content has none."""

    @property
    def shape(self) -> tuple[int]:
        """Of the tensor."""
        return (len(self),)

    def tolist(self) -> list[int]:
        """Themselves."""
        return list(self)


def counted_step(settings: Mapping[str, Any]) -> dict[str, float]:
    """Count one step.

    Args:
        settings: Of `hagan-clinic train --mode unconditional`, with a size.

    Returns:
        `parameters`, and `counted`: MiB at the peak.

    Raises:
        InputError: The settings do not fit together, or are of another model.
    """
    living = Living()
    parameters = one_step(settings, living)
    return {"parameters": float(parameters), "counted": living.peak / MIB}


def one_step(settings: Mapping[str, Any], counter: AbstractContextManager[Any]) -> int:
    """Have a counter watch one step.

    Args:
        settings: Of `counted_step`.
        counter: Such as a `Living`, or one of products.

    Returns:
        Parameters of everything that trains.
    """
    config = gather_settings(None, [], settings)
    if not isinstance(config, UnconditionalConfig):
        raise InputError(
            f"--counted is for the unconditional hagan, found {config.mode} {config.model}: leave "
            "--counted out to measure a step"
        )
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        model = build_model(config)
        assert isinstance(model, HAGAN)
        to_channels_last(model)
        average = AveragedModel(model.averaged)
        moments: list[Tensor] = []
        groups = model.groups()
        for group in groups.values():
            kept = 1 if isinstance(optimizer_of(group), UnaveragedAdam) else 2
            moments += [torch.zeros_like(p) for p in group.parameters for _ in range(kept)]

        def update(name: str, loss: Tensor) -> None:
            with torch.autocast("cpu", enabled=False):
                loss.backward()
            for parameter in groups[name].parameters:
                parameter.grad = None
            torch.clear_autocast_cache()
            gc.collect()  # tensors without content are kept by cycles that others are not

        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            batch = _batch(config)
            model.training_step(batch, 1, update)
        del average, moments
    return sum(parameter.numel() for parameter in model.parameters())


def _batch(config: UnconditionalConfig) -> dict[str, Any]:
    """A batch of the model's size without content."""
    sizes, samples = config.sizes(), config.batch_size
    d, h, w = sizes.size
    low = (side // LOW_RES_FACTOR for side in (d, h, w))
    numbers: Any = Numbers([0] * samples)
    batch = {
        "source_window": torch.empty(samples, 1, sizes.slab, h, w),
        "source_low": torch.empty(samples, 1, *low),
        "source_whole": torch.empty(samples, 1, d, h, w),
        "slab_start": numbers,
        "index": numbers,
    }
    if sizes.classes:
        batch["label"] = torch.zeros(samples, dtype=torch.long)
    if config.measurements:
        batch["measurements"] = torch.zeros(samples, len(config.measurements))
    if config.region:
        batch["region_whole"] = torch.empty(samples, 1, d, h, w)
    return batch
