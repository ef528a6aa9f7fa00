"""From names to models: what ``--mode`` and ``--model`` stand for, and the settings of a run.

Nothing here imports torch before a model is asked for: the command line lists their names.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.nearest import did_you_mean
from hagan_clinic.settings_file import typed
from hagan_clinic.training.config import TrainingConfig, read_settings
from hagan_clinic.training.renamed import current_settings
from hagan_clinic.training.run_folder import CONFIG, check_run

if TYPE_CHECKING:
    from hagan_clinic.training.trainable import TrainableModel

MODELS: dict[str, dict[str, str]] = {
    "conditional": {
        "hagan": "hagan_clinic.conditional.hagan:ConditionalHAGAN",
        "slab-unet": "hagan_clinic.conditional.slab_unet:SlabUNetGAN",
        "cgan2d": "hagan_clinic.conditional.cgan2d:SliceGAN",
        "cgan3d-patch": "hagan_clinic.conditional.cgan3d_patch:PatchPairGAN",
        "cgan3d-laf": "hagan_clinic.conditional.cgan3d_laf:LocalFusionGAN",
    },
    "unconditional": {
        "hagan": "hagan_clinic.unconditional.hagan:HAGAN",
        "wgan-gp": "hagan_clinic.unconditional.wgan_gp:WassersteinGAN",
        "vae-gan": "hagan_clinic.unconditional.vae_gan:VAEGAN",
        "alpha-gan": "hagan_clinic.unconditional.alpha_gan:AlphaGAN",
        "progressive-gan": "hagan_clinic.unconditional.progressive_gan:ProgressiveGAN",
    },
}
"""Where every model is, by its mode and its name; it is imported once it is asked for."""


def model_class(mode: Any, model: Any, where: str = "") -> type[TrainableModel]:
    """The model of these names, or a user's own by ``package.module:Class``.

    Raises:
        InputError: there is none; ``where`` begins the message.
    """
    if mode not in MODELS:
        near = did_you_mean(str(mode), MODELS)
        raise InputError(f"{where}mode is {mode!r}: expected one of {', '.join(MODELS)}{near}")
    own = isinstance(model, str) and ":" in model
    if not own and model not in MODELS[mode]:
        expected = ", ".join(MODELS[mode])
        raise InputError(
            f"{where}model is {model!r}: expected one of {expected} with --mode {mode}, or "
            f"package.module:Class of your own{did_you_mean(str(model), MODELS[mode])}"
        )
    module, _, attribute = (model if own else MODELS[mode][model]).partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a user's module raises, and what names no module
        if not own:
            raise
        raise InputError(
            f"{where}model is {model!r}, and it cannot be imported ({error}): install its package, "
            "or name its folder in PYTHONPATH"
        ) from error
    from hagan_clinic.training.trainable import TrainableModel

    if not (isinstance(found, type) and issubclass(found, TrainableModel)):
        raise InputError(
            f"{where}model is {model!r}: expected a subclass of "
            f"{TrainableModel.__module__}.{TrainableModel.__name__}"
        )
    if found.settings_class.model != model:
        raise InputError(
            f"{where}model is {model!r}, whose settings are of {found.settings_class.model!r}: "
            f"expected the default model: str = {model!r} in them"
        )
    return found


def build_model(settings: TrainingConfig) -> TrainableModel:
    """The model that settings describe, with weights from their seed."""
    import torch

    torch.manual_seed(settings.seed)
    return model_class(settings.mode, settings.model)(settings)


def gather_settings(
    preset: str | None,
    files: Sequence[Path],
    given: Mapping[str, Any],
    where: str = "command line",
) -> TrainingConfig:
    """Defaults, preset, variant, then each file, then what was given: the later one counts.

    ``where`` says in errors where it was given.

    Raises:
        InputError: unknown mode, model, preset or setting, a value of another type, or a file that
            cannot be read.
    """
    given_at = [(read_settings(path), str(path)) for path in files]
    given_at.append((dict(given), where))
    tables = [(current_settings(table, place), place) for table, place in given_at]
    named: dict[str, Any] = {"mode": TrainingConfig.mode, "model": TrainingConfig.model}
    for table, _ in tables:
        named |= {name: table[name] for name in named if name in table}
    kind = model_class(**named).settings_class
    if preset is not None and preset not in kind.presets:
        near = did_you_mean(preset, kind.presets)
        raise InputError(f"--preset {preset}: expected one of {', '.join(kind.presets)}{near}")
    settings: dict[str, Any] = named | dict(kind.presets[preset or "default"])
    variants = [table["variant"] for table, _ in tables if "variant" in table]
    settings |= kind.variants.get(variants[-1], {}) if variants else {}
    for table, place in tables:
        settings |= typed(kind, table, place, one_is_a_list=True)
    return kind(**settings)


def config_from_dict(values: dict[str, Any], where: str) -> TrainingConfig:
    """Settings of any model from plain values; ``where`` is named in errors.

    Raises:
        InputError: unknown mode or name, or a value of another type.
    """
    # A run from before there was a choice of models has none in its configuration.
    named = {"mode": values.get("mode"), "model": values.get("model", TrainingConfig.model)}
    kind = model_class(**named, where=f"{where}: ").settings_class
    return kind(**typed(kind, current_settings(values, where), where, one_is_a_list=True))


def read_config(run: Path) -> TrainingConfig:
    """The settings of a run folder.

    Raises:
        ModelError: no run there, or its settings cannot be read.
    """
    check_run(run)
    path = run / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return config_from_dict(values, str(path))
    except (OSError, ValueError, InputError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
