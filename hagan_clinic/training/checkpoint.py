"""Run folders: tensors as safetensors, everything else as JSON; nothing pickled.

A checkpoint is a folder, written beside, flushed to the disk and renamed, so that it is whole or
absent, after a power cut too:
``weights.safetensors`` (the model), ``average.safetensors`` (the averaged generator),
``optimizer.<group>.safetensors`` and ``state.json``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from hagan_clinic.errors import ModelError, OutputError
from hagan_clinic.imageio import flush_folder, write_bytes, write_text
from hagan_clinic.training.renamed import current_weights
from hagan_clinic.training.run_folder import OLD, PART, existing, read_state

AVERAGE = "average.safetensors"


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors, contiguous and on the CPU, as safetensors.

    Raises:
        OutputError: the file cannot be written.
    """
    content = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
    write_bytes(content, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        ModelError: missing or corrupt.
    """
    try:
        # Not a mapping of the file: Windows lets nobody move a checkpoint that is mapped.
        return load(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: expected a checkpoint of hagan-clinic") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}): train or copy it again") from error


def load_into(module: nn.Module, path: Path) -> None:
    """Load a module's weights, which must fit by name and shape.

    Raises:
        ModelError: when they do not.
    """
    try:
        module.load_state_dict(current_weights(load_tensors(path)))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ModelError(f"{path} does not fit this model: {first}") from error


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's per-parameter state as named tensors (``<parameter>.<name>``)."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of :func:`optimizer_tensors`; hyperparameters stay the optimiser's own."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    full = optimizer.state_dict()
    full["state"] = state
    optimizer.load_state_dict(full)


def revision_of(module: nn.Module) -> int:
    """The newest revision of its parts: it rises when weights come to mean something else."""
    return max(int(getattr(part, "revision", 1)) for part in module.modules())


def check_revision(module: nn.Module, folder: Path) -> None:
    """Refuse a checkpoint whose weights meant something else when they were trained.

    Raises:
        ModelError: it is of another revision of the network.
    """
    found, expected = int(read_state(folder).get("revision", 1)), revision_of(module)
    if found != expected:
        raise ModelError(
            f"{folder} holds revision {found} of this network, whose weights give something else "
            f"in revision {expected}: export it with the version of hagan-clinic that trained it, "
            "and give that .onnx file to --init to train it on"
        )


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    average: nn.Module,
    optimizers: dict[str, Optimizer],
    state: dict[str, Any],
) -> None:
    """Write a whole checkpoint at ``folder``, replacing what is there.

    Raises:
        OutputError: the folder cannot be written.
    """
    beside = folder.with_name(folder.name + PART)
    previous = folder.with_name(folder.name + OLD)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_tensors(model.state_dict(), beside / "weights.safetensors")
        save_tensors(average.state_dict(), beside / AVERAGE)
        for name, optimizer in optimizers.items():
            save_tensors(optimizer_tensors(optimizer), beside / f"optimizer.{name}.safetensors")
        content = state | {"revision": revision_of(model)}
        write_text(json.dumps(content, indent=2), beside / "state.json")
        # At every moment one of the two, the old or the new one, stands whole.
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        beside.rename(folder)
        flush_folder(folder.parent)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write the checkpoint {folder}: {error.strerror}; repair the folder or give "
            "another"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_checkpoint(
    folder: Path, model: nn.Module, average: nn.Module, optimizers: dict[str, Optimizer]
) -> dict[str, Any]:
    """Restore everything that :func:`save_checkpoint` wrote; returns its state.

    Raises:
        ModelError: missing, corrupt, or of another architecture.
    """
    folder = existing(folder)
    check_revision(model, folder)
    load_into(model, folder / "weights.safetensors")
    load_into(average, folder / AVERAGE)
    for name, optimizer in optimizers.items():
        restore_optimizer(optimizer, load_tensors(folder / f"optimizer.{name}.safetensors"))
    return read_state(folder)
