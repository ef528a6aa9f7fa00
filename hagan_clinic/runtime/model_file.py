"""The model file: one ONNX network with its recipe and card, verified before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.errors import ModelError
from hagan_clinic.printable import printable_in
from hagan_clinic.recipe import Recipe

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

SCHEMA = "1"
OPSET = 21
TRANSLATOR, GENERATOR, ENCODER = "translator", "generator", "encoder"
"""Kinds of network: of a conditional model, and the two parts of an unconditional one."""

SOURCE, TARGET, SCALE, CONTEXT = "source", "target", "scale", "context"
LATENT, IMAGE, SLABS, FEATURES = "latent", "image", "slabs", "features"
"""Names of the networks' inputs and outputs."""

CHECKSUMS = "SHA256"
"""File beside a bundled model, in the format of ``sha256sum``."""

DEFAULT_ACTIVATION_BYTES = 200
"""Peak bytes a voxel of network input, for a file that does not say: on the safe side."""

_LARGEST = 2**31 - 1  # protobuf's own limit on a message
_MOST_ACTIVATION_BYTES = 2**20
_CONTROL_FLOW = frozenset(["If", "Loop", "Scan", "SequenceMap"])
_REMEDY = "Export the model again with `hagan-clinic export`, or use a bundled one."


@dataclass(frozen=True)
class Card:
    """What a model's makers say of it.

    Attributes:
        name: Short name, as `hagan-clinic models` lists it.
        version: Version of the weights.
        description: One sentence.
        licence: SPDX expression of the weights' licence.
        training_data: What it was trained on.
        intended_use: What it is for, and what it is not for.
        failures: Cases in which it is known to fail, a sentence each.
        metrics: Figures by name, as measured by the makers.
    """

    name: str
    licence: str
    version: str = ""
    description: str = ""
    training_data: str = ""
    intended_use: str = ""
    failures: Sequence[str] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A verified model.

    Attributes:
        path: Where it was read from.
        kind: `TRANSLATOR`, `GENERATOR` or `ENCODER`.
        content: The file's bytes: what was hashed is what runs.
        sha256: Of the content, in hexadecimal.
        recipe: How volumes become network input.
        card: What its makers say of it.
        training: Facts of its training.
        activation_bytes: Memory at peak for each voxel of network input, in bytes.
        has_context: Whether the file can be cut at `context` (a low-resolution branch exists).
        shapes: Sizes of every input and output by its name, 0 where any size goes.
    """

    path: Path
    kind: str
    content: bytes = field(repr=False)
    sha256: str
    recipe: Recipe
    card: Card
    training: Mapping[str, Any]
    activation_bytes: int
    has_context: bool
    shapes: Mapping[str, tuple[int, ...]]

    def proto(self) -> ModelProto:
        """The parsed ONNX model, a fresh copy."""
        import onnx

        return onnx.load_model_from_string(self.content)


def load_model(path: str | Path, kind: str | None = TRANSLATOR) -> ModelFile:
    """Read a model file and verify everything that can be verified without running it.

    Args:
        path: A `.onnx` file as written by `hagan-clinic export`.
        kind: What the network must be; None takes any.

    Returns:
        The verified model.

    Raises:
        ModelError: The file is missing or corrupt, differs from the `SHA256` file beside it, keeps
            weights in other files, has no or unknown metadata, another opset than 21, inputs and
            outputs other than its kind and recipe say, or is of another kind.
    """
    path = Path(path)
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    expected = stated_checksums(path.parent).get(path.name)
    if expected is not None and expected != digest:
        raise ModelError(
            f"{path}: sha256 is {digest}, expected {expected} (from {CHECKSUMS} beside it): "
            "the file is damaged or was changed; install the package again"
        )
    proto = _parse(path, content)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    schema = metadata.get("hagan_clinic.schema")
    if schema is None:
        raise ModelError(
            f"{path}: no hagan-clinic metadata in this ONNX file, so its preparation of images is "
            f"unknown. {_REMEDY}"
        )
    if schema != SCHEMA:
        raise ModelError(
            f"{path}: metadata schema {schema!r}, expected {SCHEMA!r}. "
            "Use the hagan-clinic version that wrote the file, or a newer one."
        )
    found = metadata.get("hagan_clinic.kind", TRANSLATOR)
    if kind is not None and found != kind:
        raise ModelError(f"{path}: this is {_told(found)}, expected {_told(kind)}")
    recipe = Recipe.from_json(_entry(path, metadata, "recipe"))
    shapes = _verify_interface(path, proto, found, recipe)
    runtime = _json_object(path, metadata, "runtime", required=False)
    return ModelFile(
        path=path,
        kind=found,
        content=content,
        sha256=digest,
        recipe=recipe,
        card=_card(path, _json_object(path, metadata, "card")),
        training=_json_object(path, metadata, "training", required=False),
        activation_bytes=_activation_bytes(path, runtime),
        has_context=CONTEXT in shapes,
        shapes=shapes,
    )


def stated_checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file that the `SHA256` file of a folder lists; empty without one."""
    try:
        lines = (folder / CHECKSUMS).read_text("utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(" ") for line in lines if line.strip())
    return {name.lstrip(" *"): digest.lower() for digest, _, name in pairs}


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise ModelError(
                f"{path}: {size} bytes, and an ONNX file has at most {_LARGEST}. {_REMEDY}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot read the model ({error.strerror or error}). Give the path of a .onnx "
            "file, or a name from `hagan-clinic models`."
        ) from error


def _parse(path: Path, content: bytes) -> ModelProto:
    import onnx

    # protobuf, which onnx brings along, has no types of its own.
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ModelError(
            f"{path}: not an ONNX file, or one that was cut off ({len(content)} bytes). {_REMEDY}"
        ) from error
    if not proto.graph.node:
        raise ModelError(f"{path}: an ONNX file without a network in it. {_REMEDY}")
    outside = next((t.name for t in _tensors(proto.graph) if _is_external(t)), None)
    if outside is not None:
        raise ModelError(
            f"{path}: the weights {outside!r} lie in another file, expected all of them inside. "
            f"{_REMEDY}"
        )
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset != OPSET:
        raise ModelError(f"{path}: ONNX opset {opset}, expected {OPSET}. {_REMEDY}")
    _refuse_programs(path, proto)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"{path}: a damaged ONNX file ({str(error).splitlines()[0]}). {_REMEDY}"
        ) from error
    return proto


def _refuse_programs(path: Path, proto: ModelProto) -> None:
    """Refuse all but layers of ONNX's own, each run once.

    What loops may never end, and another operator is whatever a library makes of it.
    """
    if proto.functions:
        raise ModelError(
            f"{path}: holds the function {proto.functions[0].name!r}, expected ONNX's own "
            f"operators alone. {_REMEDY}"
        )
    for node in proto.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ModelError(
                f"{path}: the operator {node.op_type!r} is of the domain {node.domain!r}, expected "
                f"ONNX's own alone. {_REMEDY}"
            )
        if node.op_type in _CONTROL_FLOW or any(one.HasField("g") for one in node.attribute):
            raise ModelError(
                f"{path}: the operator {node.op_type!r} is control flow, which may never end; "
                f"expected layers that run once. {_REMEDY}"
            )


def _is_external(tensor: TensorProto) -> bool:
    from onnx import TensorProto

    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every stored tensor, those in attributes and inner graphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _entry(path: Path, metadata: Mapping[str, str], key: str) -> str:
    try:
        return metadata[f"hagan_clinic.{key}"]
    except KeyError:
        raise ModelError(f"{path}: the metadata lacks 'hagan_clinic.{key}'. {_REMEDY}") from None


def _json_object(
    path: Path, metadata: Mapping[str, str], key: str, *, required: bool = True
) -> dict[str, Any]:
    text = _entry(path, metadata, key) if required else metadata.get(f"hagan_clinic.{key}", "{}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: metadata 'hagan_clinic.{key}' is not JSON ({error}). {_REMEDY}"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: metadata 'hagan_clinic.{key}' is not a JSON object. {_REMEDY}")
    cleaned: dict[str, Any] = printable_in(value)
    return cleaned


def _card(path: Path, entries: Mapping[str, Any]) -> Card:
    missing = [name for name in ("name", "licence") if not entries.get(name)]
    if missing:
        raise ModelError(f"{path}: the model card lacks {' and '.join(missing)}. {_REMEDY}")
    failures = entries.get("failures", [])
    if not isinstance(failures, list) or not all(isinstance(case, str) for case in failures):
        raise ModelError(
            f"{path}: failures in the model card are {failures!r}, expected a list of sentences. "
            f"{_REMEDY}"
        )
    for name in ("name", "licence", "version", "description", "training_data", "intended_use"):
        if not isinstance(entries.get(name, ""), str):
            raise ModelError(f"{path}: {name} in the model card is no text. {_REMEDY}")
    known = {f.name for f in fields(Card)}
    return Card(**{name: value for name, value in entries.items() if name in known})


def _activation_bytes(path: Path, runtime: Mapping[str, Any]) -> int:
    value = runtime.get("activation_bytes_per_voxel", DEFAULT_ACTIVATION_BYTES)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 < value <= _MOST_ACTIVATION_BYTES):
        raise ModelError(
            f"{path}: activation_bytes_per_voxel is {value!r:.40}, expected a positive number of "
            f"at most {_MOST_ACTIVATION_BYTES}. {_REMEDY}"
        )
    number: float = value
    return max(1, round(number))


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


def _told(kind: str) -> str:
    return _TOLD.get(kind, f"a model of the kind {kind!r}")


def _verify_interface(
    path: Path, proto: ModelProto, kind: str, recipe: Recipe
) -> dict[str, tuple[int, ...]]:
    """Check names, types and sizes of inputs and outputs; tell their sizes, 0 for any size."""
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
            f"{list(expected.inputs)} and {list(expected.outputs)}{optional}. {_REMEDY}"
        )
    shapes = {}
    for name, value in {**inputs, **outputs}.items():
        tensor = value.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != every[name]:
            raise ModelError(f"{path}: {name!r} is not a {every[name]}D float32 tensor. {_REMEDY}")
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
            f"{len(recipe.sources)} ({', '.join(recipe.sources)}). {_REMEDY}"
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
            f"is {recipe.box}: expected fixed sizes that fill the box. {_REMEDY}"
        )
