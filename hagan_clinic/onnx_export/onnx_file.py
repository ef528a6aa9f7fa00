"""Any trained network as ONNX: traced, made to be cut, compared with torch, given its metadata."""

import logging
import math
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hagan_clinic.errors import ModelError
from hagan_clinic.imageio import write_bytes
from hagan_clinic.runtime.model_file import SCHEMA
from hagan_clinic.runtime.onnx_content import OPSET

LARGEST_DIFFERENCE = 1e-4

SMALLEST_HALVED = 64
"""Weights of fewer numbers stay in float32: they take no room."""

LARGEST_DIFFERENCE_HALF = 2e-2
"""Largest difference from torch (fp32) that is let through, on values in [-1, 1]."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        parameters: weights in the graph.
        difference: the largest difference from torch over all checks and outputs, on values in
            [-1, 1]; where an output goes beyond, as a share of its largest value.
        checked: the inputs it was checked on.
    """

    path: Path
    parameters: int
    difference: float
    checked: tuple[str, ...]


def traced_to_onnx(
    network: nn.Module,
    example: Tensor,
    name: str,
    outputs: Sequence[str],
    dynamic_shapes: tuple[dict[int, Any], ...] | None = None,
) -> bytes:
    """A network of one input as a serialised ONNX model, weights inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def with_half_weights(content: bytes) -> bytes:
    """The file with its weights stored in fp16, each cast to float32 before it is used.

    It has half the size and computes in float32 as before: a runtime casts once, as it loads.
    """
    proto = onnx.load_model_from_string(content)
    graph, casts = proto.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < SMALLEST_HALVED:
            continue
        stored = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        whole = f"{tensor.name}_float32"
        for node in graph.node:
            node.input[:] = [whole if name == tensor.name else name for name in node.input]
        tensor.CopyFrom(onnx.numpy_helper.from_array(stored, tensor.name))
        casts.append(
            onnx.helper.make_node("Cast", [tensor.name], [whole], to=onnx.TensorProto.FLOAT)
        )
    for cast in reversed(casts):  # before the nodes that read them
        graph.node.insert(0, cast)
    stored_half = {cast.input[0] for cast in casts}
    typed = [value for value in graph.value_info if value.name not in stored_half]
    del graph.value_info[:]
    graph.value_info.extend(typed)
    halved: bytes = proto.SerializeToString()
    return halved


def largest_difference(
    content: bytes, inputs: dict[str, Array], expected: Mapping[str, Tensor]
) -> float:
    """Largest difference between any output of the file on the CPU and torch's.

    Outputs like `context` have no range of their own: values beyond 1 count relative to the
    largest of their output.
    """
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    differences = []
    for name, found in zip(names, session.run(names, inputs), strict=True):
        wanted = expected[name].numpy()
        largest = max(1.0, float(np.abs(wanted).max()))
        differences.append(float(np.abs(found - wanted).max()) / largest)
    return max(differences)


def probed(script: str, content: bytes, *arguments: int) -> list[int]:
    """The numbers that a script prints, which reads the file from its standard input.

    Raises:
        ModelError: It ends with an error.
    """
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        raise ModelError(f"the exported file does not run: {done.stderr.decode().strip()[-300:]}")
    return [int(number) for number in done.stdout.split()]


def with_metadata(content: bytes, **entries: str) -> bytes:
    """The file with these entries, and without traces of the machine it was made on."""
    proto = onnx.load_model_from_string(content)
    # Stack traces of the tracing name paths of the machine.
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        del part.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    for key, value in {"schema": SCHEMA, **entries}.items():
        proto.metadata_props.add(key=f"hagan_clinic.{key}", value=value)
    onnx.checker.check_model(proto, full_check=True)
    finished: bytes = proto.SerializeToString()
    return finished


def write_checked(
    content: bytes, output: Path, differences: Mapping[str, float], *, half: bool
) -> Exported:
    """Write a file whose differences from torch, by the input they were found on, are small.

    Raises:
        ModelError: They are not.
        OutputError: The file cannot be written.
    """
    allowed = LARGEST_DIFFERENCE_HALF if half else LARGEST_DIFFERENCE
    for name, difference in differences.items():
        if not difference <= allowed:
            raise ModelError(
                f"the exported file differs from torch by {difference:.2g} on {name} input, "
                f"expected at most {allowed:g}; nothing was written"
            )
    write_bytes(content, output)
    weights = onnx.load_model_from_string(content).graph.initializer
    parameters = sum(int(np.prod(tensor.dims)) for tensor in weights)
    return Exported(output, parameters, max(differences.values()), tuple(differences))
