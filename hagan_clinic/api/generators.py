"""An unconditional model from where it is: a run folder, or an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.errors import DeviceError, InputError
from hagan_clinic.runtime.synthesis import (
    Encoder,
    Facts,
    Generator,
    onnx_encoder,
    onnx_generator,
)

if TYPE_CHECKING:
    import torch

    from hagan_clinic.backbone.synthesising import AutoencodingNetwork


def load_generator(
    path: Path, device: str = "auto", *, max_memory: str | int | None = None
) -> Generator:
    """The generator of a run folder, or of a `.onnx` file.

    Args:
        path: A run folder, which needs the extra `[train]`, or a file, which does not.
        device: `auto`, `cpu` or `cuda`; for a file also `tensorrt`.
        max_memory: Limit on what the network of a file takes (see `onnx_generator`); it does not
            hold for a run folder's, which goes in the slabs of its training.

    Raises:
        ModelError: Nothing usable there, a conditional model, or an encoder's file.
        DeviceError: The device cannot be had, or has too little memory.
    """
    if path.is_dir():
        facts, autoencoder, place = _load_run(path, device)
        from hagan_clinic.unconditional.trained import TorchGenerator

        return Generator(facts, TorchGenerator(autoencoder.generator, place))
    return onnx_generator(path, device, max_memory=max_memory)


def load_encoder(path: Path, device: str = "auto") -> Encoder:
    """The encoder of a run folder, or of a `.onnx` file; arguments as of `load_generator`.

    Raises:
        ModelError: Nothing usable there, a conditional model, a generator's file, or a run that
            was trained without an encoder.
        DeviceError: The device cannot be had, or has too little memory.
    """
    if path.is_dir():
        facts, autoencoder, place = _load_run(path, device, encoder=True)
        from hagan_clinic.unconditional.trained import TorchEncoder

        assert autoencoder.encoder is not None
        return Encoder(facts, TorchEncoder(autoencoder.encoder, place))
    return onnx_encoder(path, device)


def check_class(generator: Generator, label: str | None) -> None:
    """Refuse a class, given with --label, that the model does not have.

    Raises:
        InputError: It is unknown, or the model has no classes.
    """
    if label is not None and label not in generator.classes:
        known = ", ".join(generator.classes)
        expected = f"expected one of {known}" if known else "this model has no classes"
        raise InputError(f"--label {label}: {expected}")


def _load_run(
    run: Path, device: str, *, encoder: bool = False
) -> tuple[Facts, AutoencodingNetwork, torch.device]:
    from hagan_clinic.unconditional.trained import load_autoencoder

    place = torch_device(device)
    trained = load_autoencoder(run, encoder=encoder)
    return trained.facts, trained.autoencoder, place


def torch_device(name: str) -> torch.device:
    """The device of that name for what PyTorch computes.

    Raises:
        DeviceError: It cannot be had.
    """
    import torch

    if name == "tensorrt":
        raise DeviceError(
            "--device tensorrt runs exported files, and this is a run folder: export it, or give "
            "--device cuda"
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "--device cuda, but PyTorch sees no CUDA device: check the driver and that PyTorch is "
            "a CUDA build, or use --device cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
