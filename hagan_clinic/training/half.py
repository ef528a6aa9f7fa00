"""Half precision that is sound on every device.

On a CPU with bf16 instructions, oneDNN (3.12, of PyTorch 2.13) leaves parts of a convolution's bf16
weight gradient unwritten where the grid is no longer than the kernel: whatever the memory held
before is the gradient, now and then not finite. For one voxel of one channel it is the output too.
Convolutions of so small a grid cost nothing, so they run in full precision there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

FEATURES_AND_WEIGHT: dict[Callable[..., Any], slice] = {
    torch.ops.aten.convolution.default: slice(0, 2),
    torch.ops.aten.convolution_backward.default: slice(1, 3),
}
"""Which arguments these are."""


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Run the block in ``32-true`` or ``bf16-mixed``, the names of ``training.config``."""
    half = name == "bf16-mixed"
    on_cpu = half and device.type == "cpu"
    small = SmallGridsInFull() if on_cpu else nullcontext()  # type: ignore[no-untyped-call]
    with torch.autocast(device.type, torch.bfloat16, enabled=half), small:
        yield


class SmallGridsInFull(TorchDispatchMode):
    """Reckons bf16 convolutions of small grids, forward and backward, in full precision.

    What goes in and comes out is bf16, as for all the others.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operator."""
        kwargs = kwargs or {}
        where = FEATURES_AND_WEIGHT.get(func)
        if where is None or not _small_and_half(*args[where]):
            return func(*args, **kwargs)
        whole = func(*tree_map_only(Tensor, Tensor.float, args), **kwargs)
        return tree_map_only(Tensor, Tensor.bfloat16, whole)


def _small_and_half(features: Tensor, weight: Tensor) -> bool:
    """Whether bf16 features, (B, C, grid), are no longer than the kernel along any axis."""
    sides = zip(features.shape[2:], weight.shape[2:], strict=True)
    return features.dtype == torch.bfloat16 and any(1 < k >= side for side, k in sides)
