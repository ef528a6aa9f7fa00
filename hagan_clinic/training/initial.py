"""First weights of a fine-tuning: from a run folder, or from a model file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from hagan_clinic.errors import ModelError
from hagan_clinic.runtime import ModelFile, find_model, load_model
from hagan_clinic.training.checkpoint import AVERAGE, check_revision, load_into
from hagan_clinic.training.run_folder import BEST, LAST, existing, read_state

_ONLY_IN_TRAINING = "low."
"""G^L trains the context and is not in a model file; it starts from random weights."""


def load_first_weights(generator: nn.Module, source: str | Path) -> dict[str, str]:
    """Load the weights to fine-tune from.

    Args:
        generator: what they go into.
        source: a run folder, a ``.onnx`` file, or the name of a bundled model.

    Returns:
        What they are, without a path: ``name`` of the run folder or of the model, and ``sha256``
        of the file they were read from.

    Raises:
        ModelError: nothing usable there, or another architecture.
    """
    if Path(source).is_dir():
        load_averaged(generator, Path(source))
        return identity(source)
    path = find_model(str(source))
    model = load_model(path)
    weights = {
        tensor.name.removeprefix("generator."): torch.from_numpy(
            onnx.numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in model.proto().graph.initializer
    }
    own = generator.state_dict()
    for name, value in own.items():
        if name.startswith(_ONLY_IN_TRAINING):
            continue
        if name not in weights or weights[name].shape != value.shape:
            found = "nothing" if name not in weights else f"shape {tuple(weights[name].shape)}"
            raise ModelError(
                f"{path} does not fit these settings: {name} has {found} there, expected shape "
                f"{tuple(value.shape)}; use the widths, blocks and sources it was trained with"
            )
        own[name] = weights[name]
    generator.load_state_dict(own)
    return _identity(model)


def identity(source: str | Path) -> dict[str, str]:
    """What :func:`load_first_weights` returns of a source, without loading it anywhere.

    Raises:
        ModelError: nothing usable there.
    """
    if not Path(source).is_dir():
        return _identity(load_model(find_model(str(source))))
    run = Path(source)
    path = _best(run) / AVERAGE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}): give a run folder with a checkpoint, a "
            ".onnx file or the name of a bundled model"
        ) from error
    return {"name": run.resolve().name, "sha256": hashlib.sha256(content).hexdigest()}


def _identity(model: ModelFile) -> dict[str, str]:
    return {"name": model.card.name, "sha256": model.sha256}


def load_averaged(generator: nn.Module, run: Path) -> dict[str, Any]:
    """Load the averaged weights of a run's best checkpoint; returns that checkpoint's state.

    Raises:
        ModelError: no checkpoint, a corrupt one, or another architecture.
    """
    folder = _best(run)
    state = read_state(folder)
    check_revision(generator, folder)
    average = torch.optim.swa_utils.AveragedModel(generator)
    load_into(average, folder / AVERAGE)
    generator.load_state_dict(average.module.state_dict())
    return state


def _best(run: Path) -> Path:
    """The best checkpoint of a run, or its last one before any was validated."""
    best = existing(run / BEST)
    return best if best.exists() else existing(run / LAST)
