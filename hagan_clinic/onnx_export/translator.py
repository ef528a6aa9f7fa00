"""A trained translator as one self-contained ONNX file, checked against torch before it is written.

The file holds the weights and, as metadata, the recipe by which volumes become its input, its
card and the facts of its training: a pipeline can run it from that alone (``runtime.model_file``
reads it).
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hagan_clinic.conditional import SIDE_MULTIPLE, ConditionalGenerator
from hagan_clinic.errors import HaganClinicError, ModelError
from hagan_clinic.imageio import read
from hagan_clinic.onnx_export.description import read_card, training_facts
from hagan_clinic.onnx_export.onnx_file import (
    Array,
    Exported,
    FloatEnds,
    largest_difference,
    probed,
    traced_to_onnx,
    with_metadata,
    write_checked,
)
from hagan_clinic.preparation import prepare
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.model_file import (
    CONTEXT,
    DEFAULT_ACTIVATION_BYTES,
    SCALE,
    SOURCE,
    TARGET,
)
from hagan_clinic.training.cohort import find_cohort
from hagan_clinic.training.conditional import ConditionalConfig, ConditionalRun
from hagan_clinic.training.initial import load_averaged
from hagan_clinic.training.run import FACTS, SPLIT, read_config, read_facts
from hagan_clinic.training.split import read_split

TRACED_SIDES = (4, 5, 6)
"""Sides of the traced input, in multiples of 16: unequal, so that none is taken for another."""

PROBED_SIDES = (64, 128)
"""Sides of the cubes between which a run's memory is measured."""


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
