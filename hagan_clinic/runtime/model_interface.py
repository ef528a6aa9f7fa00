"""What a network takes and gives: names, axes and sizes, by its kind and recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.errors import ModelError
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.onnx_content import REMEDY

if TYPE_CHECKING:
    from onnx import ModelProto

TRANSLATOR, GENERATOR, ENCODER = "translator", "generator", "encoder"
"""Kinds of network: of a conditional model, and the two parts of an unconditional one."""

SOURCE, TARGET, SCALE, CONTEXT = "source", "target", "scale", "context"
LATENT, IMAGE, SLABS, FEATURES = "latent", "image", "slabs", "features"
"""Names of the networks' inputs and outputs."""


@dataclass(frozen=True)
class _Interface:
    """Inputs and outputs of a kind of network, and the number of axes of each."""

    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    optional: Mapping[str, int] = field(default_factory=dict)


_INTERFACES = {
    TRANSLATOR: _Interface({SOURCE: 5}, {TARGET: 5, SCALE: 5}, {CONTEXT: 5}),
    GENERATOR: _Interface({LATENT: 2}, {IMAGE: 5}, {CONTEXT: 5}),
    ENCODER: _Interface({SLABS: 5}, {LATENT: 2}, {FEATURES: 5}),
}

_TOLD = {
    TRANSLATOR: "a translating model (run it with `hagan-clinic translate`)",
    GENERATOR: "the generator of an unconditional model (run it with `hagan-clinic sample`)",
    ENCODER: "the encoder of an unconditional model (run it with `hagan-clinic encode`)",
}


def kind_text(kind: str) -> str:
    """A kind in words, with the command that runs it."""
    return _TOLD.get(kind, f"a model of the kind {kind!r}")


def verify_interface(
    path: Path, proto: ModelProto, kind: str, recipe: Recipe
) -> dict[str, tuple[int, ...]]:
    """Check names, types and sizes of inputs and outputs; return their sizes, 0 for any size."""
    from onnx import TensorProto

    if kind not in _INTERFACES:
        raise ModelError(
            f"{path}: a model of the kind {kind!r}, this version knows {', '.join(_INTERFACES)}; "
            "update hagan-clinic"
        )
    expected = _INTERFACES[kind]
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = {value.name: value for value in proto.graph.input if value.name not in weights}
    outputs = {value.name: value for value in proto.graph.output}
    every = {**expected.inputs, **expected.outputs, **expected.optional}
    if set(inputs) != set(expected.inputs) or not (
        set(expected.outputs) <= set(outputs) <= {*expected.outputs, *expected.optional}
    ):
        optional = f" with or without {sorted(expected.optional)}" if expected.optional else ""
        raise ModelError(
            f"{path}: inputs {sorted(inputs)} and outputs {sorted(outputs)}, expected "
            f"{list(expected.inputs)} and {list(expected.outputs)}{optional}. {REMEDY}"
        )
    shapes = {}
    for name, value in {**inputs, **outputs}.items():
        tensor = value.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != every[name]:
            raise ModelError(f"{path}: {name!r} is not a {every[name]}D float32 tensor. {REMEDY}")
        shapes[name] = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    if kind == TRANSLATOR:
        _verify_channels(path, shapes[SOURCE][1], recipe)
    else:
        _verify_sizes(path, kind, shapes, recipe)
    return shapes


def _verify_channels(path: Path, channels: int, recipe: Recipe) -> None:
    if channels and channels != len(recipe.sources):
        raise ModelError(
            f"{path}: the network takes {channels} channel(s) and the recipe names "
            f"{len(recipe.sources)} ({', '.join(recipe.sources)}). {REMEDY}"
        )


def _verify_sizes(
    path: Path, kind: str, shapes: Mapping[str, tuple[int, ...]], recipe: Recipe
) -> None:
    """An unconditional network has fixed sizes, those of the recipe's box."""
    if kind == GENERATOR:
        box, size = shapes[IMAGE][2:], shapes[IMAGE]
    else:
        count, _, thickness, *plane = shapes[SLABS]
        box, size = (count * thickness, *plane), shapes[SLABS]
    if len(recipe.box) != 3 or tuple(box) != recipe.box or 0 in shapes[LATENT]:
        raise ModelError(
            f"{path}: a {kind} of sizes {size} and latent {shapes[LATENT]}, and the recipe's box "
            f"is {recipe.box}: expected fixed sizes that fill the box. {REMEDY}"
        )
