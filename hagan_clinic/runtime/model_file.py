"""The model file: one ONNX generator with its recipe and card, verified before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.errors import ModelError
from hagan_clinic.recipe import Recipe

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

SCHEMA = "1"
OPSET = 21
SOURCE, TARGET, SCALE, CONTEXT = "source", "target", "scale", "context"
"""Names of the network's input and outputs."""

CHECKSUMS = "SHA256"
"""File beside a bundled model, in the format of ``sha256sum``."""

DEFAULT_ACTIVATION_BYTES = 200
"""Peak bytes a voxel of network input, for a file that does not say: on the safe side."""

_LARGEST = 2**31 - 1  # protobuf's own limit on a message
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
    """A verified generator.

    Attributes:
        path: Where it was read from.
        content: The file's bytes: what was hashed is what runs.
        sha256: Of the content, in hexadecimal.
        recipe: How volumes become network input.
        card: What its makers say of it.
        training: Facts of its training.
        activation_bytes: Memory at peak for each voxel of network input, in bytes.
        has_context: Whether the file can be cut at `context` (a low-resolution branch exists).
    """

    path: Path
    content: bytes = field(repr=False)
    sha256: str
    recipe: Recipe
    card: Card
    training: Mapping[str, Any]
    activation_bytes: int
    has_context: bool

    def proto(self) -> ModelProto:
        """The parsed ONNX model, a fresh copy."""
        import onnx

        return onnx.load_model_from_string(self.content)


def load_model(path: str | Path) -> ModelFile:
    """Read a model file and verify everything that can be verified without running it.

    Args:
        path: A `.onnx` file as written by `hagan-clinic export`.

    Returns:
        The verified model.

    Raises:
        ModelError: The file is missing or corrupt, differs from the `SHA256` file beside it, keeps
            weights in other files, has no or unknown metadata, another opset than 21, or inputs
            and outputs other than its recipe says.
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
    recipe = Recipe.from_json(_entry(path, metadata, "recipe"))
    runtime = _json_object(path, metadata, "runtime", required=False)
    return ModelFile(
        path=path,
        content=content,
        sha256=digest,
        recipe=recipe,
        card=_card(path, _json_object(path, metadata, "card")),
        training=_json_object(path, metadata, "training", required=False),
        activation_bytes=_activation_bytes(path, runtime),
        has_context=_verify_interface(path, proto, recipe),
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
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"{path}: a damaged ONNX file ({str(error).splitlines()[0]}). {_REMEDY}"
        ) from error
    return proto


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
    except ValueError as error:
        raise ModelError(
            f"{path}: metadata 'hagan_clinic.{key}' is not JSON ({error}). {_REMEDY}"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: metadata 'hagan_clinic.{key}' is not a JSON object. {_REMEDY}")
    return value


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
    known = {f.name for f in fields(Card)}
    return Card(**{name: value for name, value in entries.items() if name in known})


def _activation_bytes(path: Path, runtime: Mapping[str, Any]) -> int:
    value = runtime.get("activation_bytes_per_voxel", DEFAULT_ACTIVATION_BYTES)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ModelError(
            f"{path}: activation_bytes_per_voxel is {value!r}, expected a positive number. "
            f"{_REMEDY}"
        )
    return round(value)


def _verify_interface(path: Path, proto: ModelProto, recipe: Recipe) -> bool:
    """Check names, types and channels of input and outputs; tell whether `context` is there."""
    from onnx import TensorProto

    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = {value.name: value for value in proto.graph.input if value.name not in weights}
    outputs = {value.name: value for value in proto.graph.output}
    if set(inputs) != {SOURCE} or not {TARGET, SCALE} <= set(outputs) <= {TARGET, SCALE, CONTEXT}:
        raise ModelError(
            f"{path}: inputs {sorted(inputs)} and outputs {sorted(outputs)}, expected "
            f"['{SOURCE}'] and ['{TARGET}', '{SCALE}'] with or without '{CONTEXT}'. {_REMEDY}"
        )
    for value in (*inputs.values(), *outputs.values()):
        tensor = value.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != 5:
            raise ModelError(f"{path}: {value.name!r} is not a 5D float32 tensor. {_REMEDY}")
    channels = inputs[SOURCE].type.tensor_type.shape.dim[1]
    if channels.HasField("dim_value") and channels.dim_value != len(recipe.sources):
        raise ModelError(
            f"{path}: the network takes {channels.dim_value} channel(s) and the recipe names "
            f"{len(recipe.sources)} ({', '.join(recipe.sources)}). {_REMEDY}"
        )
    return CONTEXT in outputs
