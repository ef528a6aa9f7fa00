"""Generator and encoder of an unconditional run as ONNX files, checked against torch.

The generator's output `context` and the encoder's output `features` are where the runtime cuts
the files, to run G^H and E^H on one slab at a time (``runtime.synthesis_network``).
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hagan_clinic.backbone.synthesising import AutoencodingNetwork, SynthesisSizes
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.split import read_split
from hagan_clinic.errors import HaganClinicError, InputError
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
from hagan_clinic.runtime.model_file import DEFAULT_ACTIVATION_BYTES
from hagan_clinic.runtime.model_interface import (
    CONTEXT,
    ENCODER,
    FEATURES,
    GENERATOR,
    IMAGE,
    LATENT,
    SLABS,
)
from hagan_clinic.runtime.synthesis import Encoder
from hagan_clinic.training.run_folder import SPLIT, read_facts
from hagan_clinic.unconditional import Autoencoder, VolumeEncoder
from hagan_clinic.unconditional.components import compact
from hagan_clinic.unconditional.trained import TorchEncoder, TrainedAutoencoder, load_autoencoder

PARTS = (GENERATOR, ENCODER)


def export_part(
    run: Path,
    output: Path,
    part: str,
    *,
    half: bool = False,
    card: Path | None = None,
    images: Sequence[Path] = (),
) -> Exported:
    """Export one part of an unconditional run's best checkpoint, averaged.

    Args:
        run: the run folder.
        output: the ``.onnx`` file to write.
        part: ``generator`` or ``encoder``.
        half: store weights in fp16; the file computes in float32 all the same.
        card: TOML file with the card's fields (``runtime.model_file.Card``).
        images: real scans to check an encoder on besides random input, those of a model trained
            on stripped ones without skull; a calibration patient of the run, while its cohort is
            still there, if not given. A generator is checked on random latents, which are what it
            takes.

    Raises:
        ModelError: the run cannot be read, is conditional or has no encoder, or the file computes
            something else than torch.
        InputError: the card or an image cannot be read.
        OutputError: the file cannot be written.
    """
    trained = load_autoencoder(run, encoder=part == ENCODER)
    autoencoder, recipe = trained.autoencoder, trained.facts.recipe
    config = autoencoder.config
    in_slabs = isinstance(autoencoder, Autoencoder)
    network: nn.Module
    if part == GENERATOR:
        network = autoencoder.generator
        name, outputs = LATENT, [IMAGE, *([CONTEXT] if in_slabs else [])]
        inputs = {"random": _random((2, config.latent + config.classes))[:1]}
        described_as = f"{recipe.sources[0]} from noise"
    else:
        assert autoencoder.encoder is not None
        network = autoencoder.encoder
        if isinstance(network, VolumeEncoder):
            network = _SlabsToLatent(network)
        name, outputs = SLABS, [LATENT, *([FEATURES] if in_slabs else [])]
        inputs = {"random": np.tanh(_random(_slabs_shape(config)))}
        if (real := _real_volume(run, trained, images)) is not None:
            inputs["real"] = real.reshape(_slabs_shape(config))
        described_as = f"latents of {recipe.sources[0]}"
    compact(network)
    example = torch.from_numpy(inputs["random"])
    content = traced_to_onnx(network, example, name, outputs)
    if half:
        content = with_half_weights(content)
    facts = {
        **read_facts(run),
        "weights_sha256": trained.facts.identity,
        "skull_stripped": trained.facts.stripped,
    }
    entries = {
        "kind": part,
        "recipe": recipe.to_json(),
        "card": json.dumps(dataclasses.asdict(read_card(card, run, described_as))),
        "training": json.dumps(training_facts(trained.config, trained.state, facts)),
    }
    if part == GENERATOR:
        measured = _activation_bytes(content, autoencoder)
        entries["runtime"] = json.dumps({"activation_bytes_per_voxel": measured})
    content = with_metadata(content, **entries)
    differences = {}
    for kind, value in inputs.items():
        with torch.inference_mode():
            computed = network(torch.from_numpy(value))
        expected = dict(zip(outputs, computed, strict=True))
        differences[kind] = largest_difference(content, {name: value}, expected)
    return write_checked(content, output, differences, half=half)


class _SlabsToLatent(nn.Module):
    """E with the features of its slabs: (D / d, 1, d, H, W) -> z (1, latent) and features."""

    def __init__(self, encoder: VolumeEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, slabs: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder.slab(slabs)
        return self.encoder.from_features(features), features


def _slabs_shape(config: SynthesisSizes) -> tuple[int, ...]:
    depth, height, width = config.size
    return depth // config.slab, 1, config.slab, height, width


def _random(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _real_volume(run: Path, trained: TrainedAutoencoder, images: Sequence[Path]) -> Array | None:
    """A scan as the encoder sees it; that of the run's first calibration patient if none is given.

    None if the cohort is elsewhere now.
    """
    config = trained.config
    assert trained.autoencoder.encoder is not None
    encoder = Encoder(trained.facts, TorchEncoder(trained.autoencoder.encoder, torch.device("cpu")))
    if len(images) > 1:
        raise InputError(f"given {len(images)} images, and the encoder reads one: give one --check")
    if images:
        return encoder.prepare(images[0]).array
    try:
        cohort = find_cohort(config.data, (config.image,), None, config.mask or None)
        patients = read_split(run / SPLIT, cohort).calibration
    except HaganClinicError:
        return None
    if not patients:
        return None
    return encoder.prepare(patients[0].images[config.image], patients[0].mask).array


_PROBE = """
import sys
import numpy as np
from hagan_clinic.runtime import memory, providers, session, synthesis_network
import onnx

channels, height, width, *depths = map(int, sys.argv[1:])
proto = onnx.load_model_from_string(sys.stdin.buffer.read())
_, head = synthesis_network.cut_generator(proto)
network = session.Session(head, providers.choose_device("cpu"))
for depth in depths:
    context = np.zeros((1, channels, depth, height, width), "f4")
    network.run({"context": context}, ["image"])
    print(memory.peak() or 0)
"""


_WHOLE_PROBE = """
import sys
import numpy as np
from hagan_clinic.runtime import memory, providers, session

network = session.Session(sys.stdin.buffer.read(), providers.choose_device("cpu"))
print(memory.peak() or 0)
network.run({"latent": np.zeros((1, int(sys.argv[1])), "f4")}, ["image"])
print(memory.peak() or 0)
"""


def _activation_bytes(content: bytes, autoencoder: AutoencodingNetwork) -> int:
    """Bytes at peak a voxel of a slab of G^H, measured on the CPU in a fresh process.

    Of a generator without slabs, a voxel of the volume: what is held above what the weights take.
    """
    config = autoencoder.config
    if not isinstance(autoencoder, Autoencoder):
        before, after = probed(_WHOLE_PROBE, content, config.latent)
        return -(-(after - before) // math.prod(config.size)) or DEFAULT_ACTIVATION_BYTES
    depth, height, width = (side // 4 for side in config.size)
    small = max(depth // 4, 1)
    arguments = (autoencoder.config.held_channels, height, width, small, depth)
    before, after = probed(_PROBE, content, *arguments)
    measured = -(-(after - before) // ((depth - small) * 4 * height * 4 * width * 4))
    return measured or DEFAULT_ACTIVATION_BYTES  # 0 where the system does not report it
