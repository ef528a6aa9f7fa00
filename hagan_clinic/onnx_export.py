"""A trained translator as one self-contained ONNX file, checked against torch before it is written.

The file holds the weights and, as metadata, the recipe by which volumes become its input, its
card and the facts of its training: a pipeline can run it from that alone (``runtime.model_file``
reads it).
"""

import copy
import dataclasses
import json
import logging
import subprocess
import sys
import tomllib
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

from hagan_clinic.conditional import SIDE_MULTIPLE, ConditionalGenerator
from hagan_clinic.errors import HaganClinicError, InputError, ModelError
from hagan_clinic.imageio import read, write_bytes
from hagan_clinic.preparation import prepare
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.model_file import (
    CONTEXT,
    DEFAULT_ACTIVATION_BYTES,
    OPSET,
    SCALE,
    SCHEMA,
    SOURCE,
    TARGET,
    Card,
)
from hagan_clinic.training.cohort import find_cohort
from hagan_clinic.training.conditional import ConditionalConfig, ConditionalRun
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.initial import load_averaged
from hagan_clinic.training.run import FACTS, SPLIT, read_config, read_facts
from hagan_clinic.training.split import read_split

TRACED_SIDES = (4, 5, 6)
"""Sides of the traced input, in multiples of 16: unequal, so that none is taken for another."""

LARGEST_DIFFERENCE = 1e-4
LARGEST_DIFFERENCE_HALF = 2e-2
"""Largest difference from torch (fp32) that is let through, on values in [-1, 1]."""

PROBED_SIDES = (64, 128)
"""Sides of the cubes between which a run's memory is measured."""

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


def export_run(
    run: Path,
    output: Path,
    *,
    half: bool = False,
    card: Path | None = None,
    images: Sequence[Path] = (),
) -> Exported:
    """Export the best checkpoint's averaged generator of a conditional run.

    Args:
        run: the run folder.
        output: the ``.onnx`` file to write.
        half: weights and inner tensors in fp16; input and output stay float32.
        card: TOML file with the card's fields (``runtime.model_file.Card``).
        images: real source images, one a sequence, to check on besides random input; a
            calibration patient's of the run while its cohort is still there, if not given.

    Raises:
        ModelError: the run cannot be read or does not tell its training box, or the file computes
            something else than torch.
        InputError: the card or an image cannot be read.
        OutputError: the file cannot be written.
    """
    config = read_config(run)
    if not isinstance(config, ConditionalConfig):
        raise ModelError(
            f"{run} was trained with --mode {config.mode}: expected conditional, or a part of it "
            "with --part generator or --part encoder"
        )
    described = ConditionalRun.of(config)
    generator = ConditionalGenerator(described.generator)
    state = load_averaged(generator, run)
    generator.eval()
    factor = state["figures"].get("interval_factor")
    if factor is None:
        raise ModelError(f"{run} was never validated, so its error bar has no factor: train on")
    facts = read_facts(run)
    recipe = dataclasses.replace(
        described.recipe, interval_factor=float(factor), box=_training_box(run, facts)
    )
    training = training_facts(config, state, facts)
    content = _to_onnx(generator, recipe, half=half)
    described_as = f"{', '.join(recipe.sources)} to {recipe.target}"
    content = with_metadata(
        content,
        recipe=recipe.to_json(),
        card=json.dumps(dataclasses.asdict(read_card(card, run, described_as))),
        training=json.dumps(training),
        runtime=json.dumps(
            {"activation_bytes_per_voxel": _activation_bytes(content, len(recipe.sources))}
        ),
    )

    inputs = {"random": _random_input(len(recipe.sources))}
    if images := images or _calibration_images(run, config):
        volumes = [read(path) for path in images]
        inputs["real"] = prepare(volumes, recipe).array[None]
    differences = {}
    for name, source in inputs.items():
        with torch.inference_mode():
            computed = generator(torch.from_numpy(source))
        expected = dict(zip((TARGET, SCALE, CONTEXT), computed, strict=False))
        differences[name] = largest_difference(content, {SOURCE: source}, expected)
    return write_checked(content, output, differences, half=half)


def training_facts(
    config: TrainingConfig, state: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What a model file tells of its training: settings, steps, figures."""
    return {
        "config": {k: v for k, v in dataclasses.asdict(config).items() if k not in _LOCAL},
        "step": state["step"],
        "seconds": round(float(state.get("seconds", 0))),
        "calibration": state.get("figures", {}),
        **facts,
    }


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


_LOCAL = frozenset(["data", "mask", "split", "fractions", "device", "devices", "nodes", "workers"])
"""Settings that tell of the machine, not of the model: they stay out of the file."""


class FloatEnds(nn.Module):
    """A half-precision copy of a network, with float32 input and outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.generator = copy.deepcopy(network).half()

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs."""
        return tuple(output.float() for output in self.generator(source.half()))


def _training_box(run: Path, facts: dict[str, Any]) -> tuple[int, ...]:
    """The box that the run was trained on, in which the network has learned where a brain lies."""
    box = facts.get("box")
    if not isinstance(box, list) or len(box) != 3:
        raise ModelError(
            f"{run / FACTS} has the box {box!r}, expected the three sides that training used: "
            "go on training in this folder, which writes them"
        )
    return tuple(box)


def _to_onnx(generator: ConditionalGenerator, recipe: Recipe, *, half: bool) -> bytes:
    """The generator as a serialised ONNX model with dynamic D, H, W."""
    traced = FloatEnds(generator) if half else generator
    sides = [SIDE_MULTIPLE * n for n in TRACED_SIDES]
    example = torch.zeros(1, len(recipe.sources), *sides)
    units = [torch.export.Dim(name, min=1, max=4096) for name in ("d16", "h16", "w16")]
    shapes = {axis: SIDE_MULTIPLE * unit for axis, unit in enumerate(units, start=2)}
    names = [TARGET, SCALE, *([CONTEXT] if generator.config.low_res_branch else [])]
    return traced_to_onnx(traced, example, SOURCE, names, (shapes,))


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


def _random_input(channels: int) -> Array:
    """Noise of sides that differ from the traced ones."""
    sides = (SIDE_MULTIPLE * 3, SIDE_MULTIPLE * 4, SIDE_MULTIPLE * 2)
    values = np.random.default_rng(0).uniform(-1, 1, (1, channels, *sides))
    return values.astype(np.float32)


def _calibration_images(run: Path, config: ConditionalConfig) -> tuple[Path, ...]:
    """The source images of the run's first calibration patient; none if they have moved."""
    try:
        cohort = find_cohort(config.data, config.source, config.target)
        patients = read_split(run / SPLIT, cohort).calibration
    except HaganClinicError:
        return ()
    return tuple(patients[0].images[name] for name in config.source) if patients else ()


_PROBE = """
import sys
import numpy as np
from hagan_clinic.runtime import memory, providers, session

content = sys.stdin.buffer.read()
network = session.Session(content, providers.choose_device("cpu"))
channels, *sides = map(int, sys.argv[1:])
for side in sides:
    network.run({"source": np.zeros((1, channels, side, side, side), "f4")}, ["target", "scale"])
    print(memory.peak() or 0)
"""


def _activation_bytes(content: bytes, channels: int) -> int:
    """Bytes at peak a voxel of input, measured on the CPU in a fresh process.

    The network's own share: what the process holds for a large cube above what it holds for a
    small one, divided by the voxels between them.
    """
    small, large = PROBED_SIDES
    before, after = probed(_PROBE, content, channels, small, large)
    measured = -(-(after - before) // (large**3 - small**3))
    return measured or DEFAULT_ACTIVATION_BYTES  # 0 where the system does not tell


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


def read_card(path: Path | None, run: Path, description: str) -> Card:
    """The card of a TOML file, or the least that can be said of a run.

    Raises:
        InputError: The file cannot be read, or holds something else than a card.
    """
    if path is None:
        return Card(
            name=run.resolve().name,
            licence="NOASSERTION",
            description=description,
            intended_use="Research, not for diagnosis.",
        )
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the card {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the card {path} is not valid TOML: {error}") from error
    known = {field.name for field in dataclasses.fields(Card)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"the card {path} has {unknown}, expected of {sorted(known)}")
    if missing := [name for name in ("name", "licence") if not values.get(name)]:
        raise InputError(f"the card {path} lacks {' and '.join(missing)}")
    return Card(**values)
