"""What a configuration trains: its parts, their layers and shapes, parameters and memory.

Everything is computed on torch's meta device, which has shapes and no values: 256 cubed takes as
little time and memory as 32 cubed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from hagan_clinic.backbone.parts import Part
from hagan_clinic.errors import InputError
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.registry import build_model

TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, *TRANSPOSED)
NORMS = {
    "PositionNorm": "position norm",
    "RegionNorm": "region norm",
    "BatchNorm1d": "batch norm",
    "BatchNorm3d": "batch norm",
    "InstanceNorm2d": "instance norm",
    "InstanceNorm3d": "instance norm",
}
"""Layers in words."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class LayerSummary:
    """A layer with parameters.

    Attributes:
        name: in its part.
        kind: convolution, linear or normalisation, and its sizes.
        output: (C, D, H, W) or (C,) of one sample.
        parameters: how many numbers it learns.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class PartSummary:
    """A part of the model.

    Attributes:
        symbol: the paper's, such as G^A.
        layers: in the order in which they run.
        parameters: of all of them.
        activation_bytes: by precision, what one sample leaves in memory for the backward pass,
            the part's input aside. For bf16 every layer is taken to run in it; under
            ``--precision bf16-mixed`` some stay in fp32.
    """

    symbol: str
    layers: tuple[LayerSummary, ...]
    parameters: int
    activation_bytes: dict[str, int]


def summarise(config: TrainingConfig) -> list[PartSummary]:
    """Every part that a configuration trains, in the order of the paper's figure.

    Raises:
        InputError: no size, or one that the model does not take.
    """
    if config.size is None:
        raise InputError("size is missing: give the training box, such as --size 128")
    multiple = config.recipe.multiple
    if any(side <= 0 or side % multiple for side in config.size):
        raise InputError(
            f"the size is {'x'.join(map(str, config.size))}: expected multiples of {multiple}"
        )
    with torch.device("meta"):
        model = build_model(config)
        parts = model.parts(config.size)
        layers = [_layers(part) for part in parts]
        kept: list[dict[str, int]] = [{} for _ in parts]
        for name, precision in PRECISIONS.items():
            model.to(precision)
            for part, of_part in zip(parts, kept, strict=True):
                # What three samples keep beyond two is a sample's own; the rest are weights. Of one
                # alone a batch norm has no statistics.
                of_part[name] = _kept(part, 3, precision) - _kept(part, 2, precision)
    return [
        PartSummary(part.symbol, its_layers, _parameters(part.module), its_bytes)
        for part, its_layers, its_bytes in zip(parts, layers, kept, strict=True)
    ]


def _inputs(part: Part, samples: int, precision: torch.dtype) -> list[Tensor]:
    return [torch.empty(samples, *shape, dtype=precision) for shape in part.given]


def _kept(part: Part, samples: int, precision: torch.dtype) -> int:
    """Bytes that a part's graph holds on to, without its input."""
    inputs = _inputs(part, samples, precision)
    held: dict[int, int] = {}

    def hold(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        output = part.run(*inputs)
    for tensor in inputs:
        held.pop(tensor.untyped_storage()._cdata, None)
    del output
    return sum(held.values())


def _layers(part: Part) -> tuple[LayerSummary, ...]:
    """The part's layers in the order in which they run."""
    found: list[LayerSummary] = []
    hooks = []

    def recorder(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(layer: nn.Module, _: Any, output: Any) -> None:
            if name in (layer.name for layer in found):
                return  # again, on air alone
            image = output[0] if isinstance(output, tuple) else output  # the second is air's
            found.append(
                LayerSummary(name, _kind(layer), tuple(image.shape[1:]), _parameters(layer))
            )

        return record

    for name, layer in part.module.named_modules():
        if _is_layer(layer) and "parametrizations" not in name:
            hooks.append(layer.register_forward_hook(recorder(name)))
    # In training two layers may be computed as one.
    part.module.eval()
    with torch.no_grad():
        part.run(*_inputs(part, 2, torch.float32))
    part.module.train()
    for hook in hooks:
        hook.remove()
    return tuple(found)


def _is_layer(module: nn.Module) -> bool:
    """Whether a module computes with parameters of its own."""
    inner = [child for name, child in module.named_children() if name != "parametrizations"]
    return not inner and any(True for _ in module.parameters())


def _kind(layer: nn.Module) -> str:
    """A layer in words, with what the field writes beside it."""
    spectral = ", spectral norm" if is_parametrized(layer) else ""
    if isinstance(layer, CONVOLUTIONS):
        kernel, stride = (
            "x".join(map(str, sides if len(set(sides)) > 1 else sides[:1]))
            for sides in (layer.kernel_size, layer.stride)
        )
        step = f"x{stride}" if isinstance(layer, TRANSPOSED) else f"/{stride}"
        return f"conv {kernel} {step}, {layer.in_channels} to {layer.out_channels}{spectral}"
    if isinstance(layer, nn.Linear):
        return f"linear {layer.in_features} to {layer.out_features}{spectral}"
    if isinstance(layer, nn.GroupNorm):
        return f"group norm, {layer.num_groups} groups"
    return NORMS[type(layer).__name__]


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
