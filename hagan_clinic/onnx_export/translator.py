"""A trained translator as one self-contained ONNX file, checked against torch before it is written.

The file holds the weights and, as metadata, the recipe by which volumes become its input, its
card and the facts of its training: a pipeline can run it from that alone (``runtime.model_file``
reads it).
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional import SIDE_MULTIPLE
from hagan_clinic.conditional.trained import load_translator
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.split import read_split
from hagan_clinic.errors import HaganClinicError, ModelError
from hagan_clinic.imageio import read
from hagan_clinic.onnx_export.description import read_card, training_facts
from hagan_clinic.onnx_export.onnx_file import (
    Array,
    Exported,
    largest_difference,
    probed,
    traced_to_onnx,
    with_half_weights,
    with_metadata,
    write_checked,
)
from hagan_clinic.preparation import prepare
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.model_file import DEFAULT_ACTIVATION_BYTES
from hagan_clinic.runtime.model_interface import CONTEXT, SCALE, SOURCE, TARGET
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.run_folder import SPLIT

TRACED_SIDES = (4, 5, 6)
"""Sides of the traced input, in multiples of 16: unequal, so that none is taken for another."""

PROBED_SIDES = (64, 128)
"""Sides, where they are free, of the volumes between which a run's memory is measured."""


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
        half: store weights in fp16; the file computes in float32 all the same.
        card: TOML file with the card's fields (``runtime.model_file.Card``).
        images: real source images, one a sequence, to check on besides random input; a
            calibration patient's of the run while its cohort is still there, if not given.

    Raises:
        ModelError: the run cannot be read or does not state its training box, or the file computes
            something else than torch.
        InputError: the card or an image cannot be read.
        OutputError: the file cannot be written.
    """
    trained = load_translator(run)
    generator, recipe = trained.generator, trained.recipe
    if "interval_factor" not in trained.state["metrics"]:
        raise ModelError(f"{run} was never validated, so it has no error bar: resume the training")
    training = training_facts(trained.config, trained.state, trained.facts)
    content = _to_onnx(generator, recipe)
    if half:
        content = with_half_weights(content)
    described_as = f"{', '.join(recipe.sources)} to {recipe.target}"
    content = with_metadata(
        content,
        recipe=recipe.to_json(),
        card=json.dumps(dataclasses.asdict(read_card(card, run, described_as))),
        training=json.dumps(training),
        runtime=json.dumps(
            {"activation_bytes_per_voxel": _activation_bytes(content, generator, recipe)}
        ),
    )

    inputs = {"random": _random_input(generator, recipe)}
    if images := images or _calibration_images(run, trained.config, recipe):
        volumes = [read(path) for path in images]
        inputs["real"] = prepare(volumes, recipe).array[None]
    differences = {}
    for name, source in inputs.items():
        with torch.inference_mode():
            computed = generator(torch.from_numpy(source))
        expected = dict(zip((TARGET, SCALE, CONTEXT), computed, strict=False))
        differences[name] = largest_difference(content, {SOURCE: source}, expected)
    return write_checked(content, output, differences, half=half)


def _to_onnx(generator: TranslatingNetwork, recipe: Recipe) -> bytes:
    """The generator as a serialised ONNX model, of any size along its free axes."""
    shape = _input_shape(generator, recipe, [SIDE_MULTIPLE * n for n in TRACED_SIDES])
    example = torch.zeros(shape)
    with torch.inference_mode():
        count = len(generator(example))
    units = {axis: torch.export.Dim(f"{'dhw'[axis - 2]}16", min=1, max=4096) for axis in (2, 3, 4)}
    shapes = {axis: SIDE_MULTIPLE * units[axis] for axis in generator.free_axes}
    names = [TARGET, SCALE, CONTEXT][:count]
    return traced_to_onnx(generator, example, SOURCE, names, (shapes,))


def _input_shape(
    generator: TranslatingNetwork, recipe: Recipe, sides: Sequence[int]
) -> tuple[int, ...]:
    """(1, C, D, H, W) of these sides along the free axes, and of the training box elsewhere."""
    chosen = (
        side if axis in generator.free_axes else fixed
        for axis, side, fixed in zip((2, 3, 4), sides, recipe.box, strict=True)
    )
    return 1, len(recipe.sources), *chosen


def _random_input(generator: TranslatingNetwork, recipe: Recipe) -> Array:
    """Noise of sides that differ from the traced ones."""
    shape = _input_shape(generator, recipe, [SIDE_MULTIPLE * n for n in (3, 4, 2)])
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _calibration_images(run: Path, config: TrainingConfig, recipe: Recipe) -> tuple[Path, ...]:
    """The source images of the run's first calibration patient; none if it is elsewhere now."""
    try:
        cohort = find_cohort(config.data, recipe.sources, recipe.target)
        patients = read_split(run / SPLIT, cohort).calibration
    except HaganClinicError:
        return ()
    return tuple(patients[0].images[name] for name in recipe.sources) if patients else ()


_PROBE = """
import sys
import numpy as np
from hagan_clinic.runtime import memory, providers, session

content = sys.stdin.buffer.read()
network = session.Session(content, providers.choose_device("cpu"))
print(memory.peak() or 0)
channels, *sides = map(int, sys.argv[1:])
for shape in zip(sides[::3], sides[1::3], sides[2::3]):
    network.run({"source": np.zeros((1, channels, *shape), "f4")}, ["target", "scale"])
    print(memory.peak() or 0)
"""


def _activation_bytes(content: bytes, generator: TranslatingNetwork, recipe: Recipe) -> int:
    """Bytes at peak a voxel of input, measured on the CPU in a fresh process.

    The network's own share: what the process holds for a large volume above what it holds for a
    small one, divided by the voxels between them. Where no size is free, it is what the process
    holds above what it held before it ran.
    """
    shapes = [_input_shape(generator, recipe, (side,) * 3) for side in PROBED_SIDES]
    sizes = [0, *(math.prod(shape[2:]) for shape in shapes)]
    sides = [side for shape in shapes for side in shape[2:]]
    peaks = probed(_PROBE, content, len(recipe.sources), *sides)
    first = 1 if generator.free_axes else 0
    measured = -(-(peaks[-1] - peaks[first]) // (sizes[-1] - sizes[first]))
    return measured or DEFAULT_ACTIVATION_BYTES  # 0 where the system does not report it
