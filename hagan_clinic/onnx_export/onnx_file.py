"""Any trained network as ONNX: traced, made to be cut, compared with torch, given its metadata."""

import copy
import logging
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
from hagan_clinic.runtime.model_file import (
    OPSET,
    SCHEMA,
)

LARGEST_DIFFERENCE = 1e-4

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


class FloatEnds(nn.Module):
    """A half-precision copy of a network, with float32 input and outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.generator = copy.deepcopy(network).half()

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs."""
        return tuple(output.float() for output in self.generator(source.half()))


def traced_to_onnx(
    network: nn.Module,
    example: Tensor,
    name: str,
    outputs: Sequence[str],
    dynamic_shapes: tuple[dict[int, Any], ...] | None = None,
) -> bytes:
    """A network of one input as a serialised ONNX model, weights inside, its outputs cuttable."""
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
    proto = program.model_proto
    for output in outputs:
        _use_output(proto.graph, output)
    content: bytes = proto.SerializeToString()
    return content


def _use_output(graph: onnx.GraphProto, output: str) -> None:
    """Let what follows an output read it, and not the half-precision tensor that it is cast from.

    Otherwise a file with fp16 inside could not be cut at this output. The cast back is exact.
    """
    (cast,) = (node for node in graph.node if output in node.output)
    if cast.op_type != "Cast":
        return
    inner, again = cast.input[0], f"{output}_half"
    readers = [node for node in graph.node if inner in node.input and output not in node.output]
    if not readers:
        return
    for node in readers:
        node.input[:] = [again if name == inner else name for name in node.input]
    back = onnx.helper.make_node("Cast", [output], [again], to=onnx.TensorProto.FLOAT16)
    # Nodes stand in the order in which they can run.
    forth = onnx.helper.make_node("Cast", [inner], [output], to=onnx.TensorProto.FLOAT)
    graph.node.remove(cast)
    made = next(number for number, node in enumerate(graph.node) if inner in node.output)
    graph.node.insert(made + 1, back)
    graph.node.insert(made + 1, forth)


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
    """The file with these entries, and without what tells of the machine it was traced on."""
    proto = onnx.load_model_from_string(content)
    # Stack traces of the tracing tell of the machine.
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
