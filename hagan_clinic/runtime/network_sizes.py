"""What a network's values take in memory, by their shapes alone, before anything runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.runtime.onnx_content import OPSET

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

_MOST_KNOWN = 64
"""Elements of an array that states shapes: the sizes of a few axes."""

_KEEPS_SHAPE = frozenset(["GroupNormalization"])
"""Functions of ONNX, of which it infers no shapes."""


class UnknownSizeError(Exception):
    """The size of a value does not follow from the size of the input."""


def peak_bytes(proto: ModelProto, side: int) -> int:
    """Bytes that are held at once, at most, while a network runs.

    A value is held until its last use, and for good if it depends on no input: ONNX Runtime
    computes it when it loads the network, and keeps it.

    Args:
        proto: A checked model of ONNX's own operators, without control flow.
        side: Size of each axis of space that is free; other free axes have 1.

    Raises:
        UnknownSizeError: The size of a value depends on values of the input, or sizes contradict
            each other; the text tells where.
    """
    graph = proto.graph
    values = _Values(graph, side)
    lasting = {*values.types} - {value.name for value in graph.input}
    uses = Counter(name for node in graph.node for name in set(node.input))
    uses.update(value.name for value in graph.output)
    held = peak = sum(map(values.size, values.types))
    for node in graph.node:
        inputs, outputs = set(filter(None, node.input)), list(filter(None, node.output))
        values.infer(node)
        held += sum(map(values.size, outputs))
        peak = max(peak, held)
        if inputs <= lasting:
            lasting.update(outputs)
        uses.subtract(inputs)
        held -= sum(map(values.size, {n for n in {*inputs, *outputs} - lasting if not uses[n]}))
    return peak


class _Values:
    """The types of a graph's values by name, inferred node by node.

    The small integers that shapes are made of are computed on the way; nothing large ever is.
    """

    def __init__(self, graph: GraphProto, side: int) -> None:
        from onnx import helper

        self.types: dict[str, TypeProto] = {}
        self._known: dict[str, NDArray[np.generic]] = {}
        for value in graph.input:
            self.types[value.name] = _filled(value.type, side)
        for sparse in graph.sparse_initializer:  # made dense when the network is loaded
            kind = sparse.values.data_type
            self.types[sparse.values.name] = helper.make_tensor_type_proto(kind, sparse.dims)
        for tensor in graph.initializer:
            self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            if math.prod(tensor.dims) <= _MOST_KNOWN:
                self._known[tensor.name] = _array(tensor)

    def size(self, name: str) -> int:
        """Bytes of a value."""
        from onnx import helper

        tensor = self.types[name].tensor_type
        item: int = helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
        return item * math.prod(_dimensions(self.types[name]))

    def infer(self, node: NodeProto) -> None:
        """Learn the types of a node's outputs, all of whose inputs are known."""
        inputs = [name for name in node.input if name]
        inferred = self._inferred(node, inputs)
        for name in filter(None, node.output):
            kind = inferred.get(name)
            if kind is None or not _is_sized(kind):
                raise UnknownSizeError(
                    f"the size of {name!r}, which the operator {node.op_type!r} gives, does not "
                    "follow from that of the input"
                )
            self.types[name] = kind
        if node.op_type == "Shape":
            options = {attribute.name: attribute.i for attribute in node.attribute}
            part = slice(options.get("start", 0), options.get("end"))
            sizes = _dimensions(self.types[inputs[0]])[part]
            self._known[node.output[0]] = np.array(sizes, np.int64)
        elif all(map(self._may_be_computed, node.output)) and self._known.keys() >= set(inputs):
            self._compute(node, inputs)

    def _inferred(self, node: NodeProto, inputs: Iterable[str]) -> dict[str, TypeProto]:
        from onnx import defs, helper, numpy_helper, shape_inference

        if node.op_type in _KEEPS_SHAPE:
            return {node.output[0]: self.types[node.input[0]]}
        known = {n: numpy_helper.from_array(self._known[n], n) for n in inputs if n in self._known}
        try:
            inferred: dict[str, TypeProto] = shape_inference.infer_node_outputs(
                defs.get_schema(node.op_type, OPSET, ""),
                node,
                {name: self.types[name] for name in inputs},
                known,
                opset_imports=[helper.make_opsetid("", OPSET)],
            )
        except shape_inference.InferenceError as error:
            raise UnknownSizeError(
                f"the inputs of the operator {node.op_type!r} do not fit each other ({error})"
            ) from error
        return inferred

    def _may_be_computed(self, name: str) -> bool:
        """Whether a value is a few integers: what computes such needs no memory to speak of."""
        from onnx import TensorProto

        integers = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
        kind = self.types[name]
        few = math.prod(_dimensions(kind)) <= _MOST_KNOWN
        return few and kind.tensor_type.elem_type in integers

    def _compute(self, node: NodeProto, inputs: Iterable[str]) -> None:
        from onnx.reference import ReferenceEvaluator

        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(node).run(None, {n: self._known[n] for n in inputs})
        except Exception as error:  # numpy's and onnx's own, of many kinds
            raise UnknownSizeError(
                f"the operator {node.op_type!r} cannot be computed ({error})"
            ) from error
        self._known.update(zip(node.output, map(np.asarray, results), strict=True))


def _array(tensor: TensorProto) -> NDArray[np.generic]:
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except ValueError as error:
        raise UnknownSizeError(
            f"the values stored as {tensor.name!r} are not of its shape {list(tensor.dims)}"
        ) from error


def _filled(kind: TypeProto, side: int) -> TypeProto:
    """A type with a size in place of each free one."""
    filled = type(kind)()
    filled.CopyFrom(kind)
    for axis, dimension in enumerate(filled.tensor_type.shape.dim):
        if dimension.dim_value < 1:
            dimension.dim_value = 1 if axis < 2 else side
    return filled


def _is_sized(kind: TypeProto) -> bool:
    tensor = kind.tensor_type
    dimensions = tensor.shape.dim
    return (
        tensor.elem_type != 0
        and tensor.HasField("shape")
        and all(one.HasField("dim_value") and one.dim_value >= 0 for one in dimensions)
    )


def _dimensions(kind: TypeProto) -> list[int]:
    return [dimension.dim_value for dimension in kind.tensor_type.shape.dim]
