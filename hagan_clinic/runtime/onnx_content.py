"""ONNX content from outside: one network, whole in its file, of layers that each run once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

OPSET = 21
REMEDY = "Export the model again with `hagan-clinic export`, or use a bundled one."

_CONTROL_FLOW = frozenset(["If", "Loop", "Scan", "SequenceMap"])


def parse_network(path: Path, content: bytes) -> ModelProto:
    """Parse an ONNX file and refuse what is damaged, incomplete or a program.

    Args:
        path: Where it was read from, for messages.
        content: The file's bytes.

    Raises:
        ModelError: It is no valid ONNX file with a network in it, keeps weights in other files,
            has another opset than 21, or has control flow, functions or others' operators.
    """
    import onnx

    # protobuf, which onnx brings along, has no types of its own.
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ModelError(
            f"{path}: not an ONNX file, or one that was cut off ({len(content)} bytes). {REMEDY}"
        ) from error
    if not proto.graph.node:
        raise ModelError(f"{path}: an ONNX file without a network in it. {REMEDY}")
    outside = next((t.name for t in _tensors(proto.graph) if _is_external(t)), None)
    if outside is not None:
        raise ModelError(
            f"{path}: the weights {outside!r} lie in another file, expected all of them inside. "
            f"{REMEDY}"
        )
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset != OPSET:
        raise ModelError(f"{path}: ONNX opset {opset}, expected {OPSET}. {REMEDY}")
    _refuse_programs(path, proto)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"{path}: a damaged ONNX file ({str(error).splitlines()[0]}). {REMEDY}"
        ) from error
    return proto


def _refuse_programs(path: Path, proto: ModelProto) -> None:
    """Refuse all but layers of ONNX's own, each run once.

    What loops may never end, and another operator is whatever a library makes of it.
    """
    if proto.functions:
        raise ModelError(
            f"{path}: holds the function {proto.functions[0].name!r}, expected only ONNX's "
            f"own operators. {REMEDY}"
        )
    for node in proto.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ModelError(
                f"{path}: the operator {node.op_type!r} is of the domain {node.domain!r}, expected "
                f"only ONNX's own. {REMEDY}"
            )
        if node.op_type in _CONTROL_FLOW or any(one.HasField("g") for one in node.attribute):
            raise ModelError(
                f"{path}: the operator {node.op_type!r} is control flow, which may never end; "
                f"expected layers that run once. {REMEDY}"
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
