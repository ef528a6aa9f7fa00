"""A trained generator as one self-contained ONNX file, checked against torch before it is written.

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
from collections.abc import Sequence
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
        raise ModelError(f"{run} was trained with --mode {config.mode}: expected conditional")
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
    training = {
        "config": {k: v for k, v in dataclasses.asdict(config).items() if k not in _LOCAL},
        "step": state["step"],
        "seconds": round(float(state["seconds"])),
        "calibration": state["figures"],
        **facts,
    }
    content = _to_onnx(generator, recipe, half=half)
    proto = onnx.load_model_from_string(content)
    _add_metadata(
        proto,
        schema=SCHEMA,
        recipe=recipe.to_json(),
        card=json.dumps(dataclasses.asdict(_card(card, run, recipe))),
        training=json.dumps(training),
        runtime=json.dumps(
            {"activation_bytes_per_voxel": _activation_bytes(content, len(recipe.sources))}
        ),
    )
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()

    inputs = {"random": _random_input(len(recipe.sources))}
    if images := images or _calibration_images(run, config):
        volumes = [read(path) for path in images]
        inputs["real"] = prepare(volumes, recipe).array[None]
    allowed = LARGEST_DIFFERENCE_HALF if half else LARGEST_DIFFERENCE
    worst = 0.0
    for name, source in inputs.items():
        difference = _difference(generator, content, source)
        if not difference <= allowed:
            raise ModelError(
                f"the exported file differs from torch by {difference:.2g} on {name} input, "
                f"expected at most {allowed:g}; nothing was written"
            )
        worst = max(worst, difference)
    write_bytes(content, output)
    parameters = sum(int(np.prod(tensor.dims)) for tensor in proto.graph.initializer)
    return Exported(output, parameters, worst, tuple(inputs))


_LOCAL = frozenset(["data", "mask", "split", "device", "devices", "nodes", "workers"])
"""Settings that tell of the machine, not of the model: they stay out of the file."""


class _FloatEnds(nn.Module):
    """A half-precision generator with float32 input and output."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
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
    traced = _FloatEnds(copy.deepcopy(generator).half()) if half else generator
    sides = [SIDE_MULTIPLE * n for n in TRACED_SIDES]
    example = torch.zeros(1, len(recipe.sources), *sides)
    units = [torch.export.Dim(name, min=1, max=4096) for name in ("d16", "h16", "w16")]
    shapes = {axis: SIDE_MULTIPLE * unit for axis, unit in enumerate(units, start=2)}
    names = [TARGET, SCALE, *([CONTEXT] if generator.config.low_res_branch else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            traced.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[SOURCE],
            output_names=names,
            dynamic_shapes=(shapes,),
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _difference(generator: ConditionalGenerator, content: bytes, source: Array) -> float:
    """Largest difference between any output of the file on the CPU and torch's.

    The features `context` have no range of their own: values beyond 1 count relative to the
    largest of their output.
    """
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with torch.inference_mode():
        computed = generator(torch.from_numpy(source))
    outputs = dict(zip((TARGET, SCALE, CONTEXT), computed, strict=False))
    differences = []
    for name, found in zip(names, session.run(names, {SOURCE: source}), strict=True):
        expected = outputs[name].numpy()
        largest = max(1.0, float(np.abs(expected).max()))
        differences.append(float(np.abs(found - expected).max()) / largest)
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
    arguments = [sys.executable, "-c", _PROBE, *map(str, (channels, small, large))]
    done = subprocess.run(arguments, input=content, capture_output=True, check=False)
    if done.returncode:
        raise ModelError(f"the exported file does not run: {done.stderr.decode().strip()[-300:]}")
    before, after = map(int, done.stdout.split())
    measured = -(-(after - before) // (large**3 - small**3))
    return measured or DEFAULT_ACTIVATION_BYTES  # 0 where the system does not tell


def _add_metadata(proto: onnx.ModelProto, **entries: str) -> None:
    # Stack traces of the tracing tell of the machine.
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        del part.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    for key, value in entries.items():
        proto.metadata_props.add(key=f"hagan_clinic.{key}", value=value)


def _card(path: Path | None, run: Path, recipe: Recipe) -> Card:
    """The card of a TOML file, or the least that can be said of a run."""
    if path is None:
        return Card(
            name=run.resolve().name,
            licence="NOASSERTION",
            description=f"{', '.join(recipe.sources)} to {recipe.target}",
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
