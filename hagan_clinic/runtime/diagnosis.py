"""What this machine can run and why not, found out by trying."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hagan_clinic import __version__
from hagan_clinic.errors import HaganClinicError
from hagan_clinic.extras import TRAINING
from hagan_clinic.runtime import memory, providers
from hagan_clinic.runtime.library import DEFAULT_MODEL, PARTS, bundled_models, verified
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.model_interface import ENCODER, GENERATOR
from hagan_clinic.runtime.network import Network
from hagan_clinic.runtime.provenance import TOOL
from hagan_clinic.runtime.session import usable_cpus
from hagan_clinic.runtime.slabs import SlabPlan
from hagan_clinic.runtime.synthesis import onnx_encoder, onnx_generator


@dataclass(frozen=True)
class Diagnosis:
    """One thing looked at.

    Attributes:
        subject: What.
        works: Whether it works here; None for a plain fact.
        detail: The fact, or why it does not work and what to do.
        needed: Whether a sound installation has it: without it `doctor` fails.
        exit_code: Of the error that it would be.
    """

    subject: str
    works: bool | None
    detail: str
    needed: bool = False
    exit_code: int = 5


def diagnose() -> Iterator[Diagnosis]:
    """Everything that decides what can run, one finding at a time."""
    yield Diagnosis(TOOL, None, __version__)
    yield Diagnosis("Python", None, f"{platform.python_version()} on {platform.platform()}")
    yield Diagnosis("CPU cores", None, f"{usable_cpus()} usable")
    yield Diagnosis("memory", None, f"{memory.size_text(memory.available())} available")
    try:
        yield from _runtime()
    except HaganClinicError as error:
        yield Diagnosis("ONNX Runtime", False, str(error), needed=True, exit_code=error.exit_code)
        return
    yield from _models()
    yield _training()


def _runtime() -> Iterator[Diagnosis]:
    found = ", ".join(f"{name} {version}" for name, version in providers.runtime_packages().items())
    clash = providers.two_packages()
    version = found or str(providers.runtime().__version__)
    yield Diagnosis("ONNX Runtime", clash is None, clash or version, needed=True)
    for name, subject in (("cpu", "CPU"), ("cuda", "CUDA"), ("tensorrt", "TensorRT")):
        reason = providers.obstacle(name)
        yield Diagnosis(subject, reason is None, reason or "a session starts", needed=name == "cpu")
    size = providers.gpu_memory()
    if size is not None:
        yield Diagnosis("GPU memory", None, memory.size_text(size))


def _models() -> Iterator[Diagnosis]:
    bundled = bundled_models()
    if DEFAULT_MODEL not in bundled:
        yield Diagnosis(
            f"model {DEFAULT_MODEL}",
            False,
            f"not in this installation; run `pip install --force-reinstall {TOOL}`",
            needed=True,
            exit_code=4,
        )
    for name, path in bundled.items():
        subject, needed = f"model {name}", name == DEFAULT_MODEL
        try:
            model = verified(path)
            if model.kind == GENERATOR:
                _make_and_encode(path)
            else:
                _translate(model)
        except HaganClinicError as error:
            yield Diagnosis(subject, False, str(error), needed, error.exit_code)
        else:
            yield Diagnosis(subject, True, "its checksums are right and it runs on the CPU", needed)


def _translate(model: ModelFile) -> None:
    size = -(-64 // model.recipe.multiple) * model.recipe.multiple
    source = np.zeros((len(model.recipe.sources), size, size, size), np.float32)
    network = Network(model, providers.Device("cpu", "cpu"))
    network.run(source, SlabPlan(size, size, model.recipe.halo))


def _make_and_encode(path: Path) -> None:
    generator = onnx_generator(path, "cpu")
    (image,) = generator.decode(np.zeros((1, generator.latent), np.float32))
    onnx_encoder(path.with_name(PARTS[ENCODER]), "cpu").encode(2 * image - 1)


def _training() -> Diagnosis:
    missing = [package for module, package in TRAINING.items() if find_spec(module) is None]
    if missing:
        detail = f'{", ".join(missing)} not installed; run `pip install "{TOOL}[train]"` to train'
        return Diagnosis("training", False, detail)
    return Diagnosis("training", True, "the packages of [train] are installed")
