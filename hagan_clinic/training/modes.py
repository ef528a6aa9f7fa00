"""What can be trained, by the names that ``--mode`` and ``--model`` give it."""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from hagan_clinic.backbone.parts import Part
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.nearest import did_you_mean
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import (
    TrainingConfig,
    read_settings,
    typed,
)
from hagan_clinic.training.renamed import current_settings
from hagan_clinic.training.run_folder import CONFIG, check_run
from hagan_clinic.training.variant import TrainableModel, Validation


class Mode(Protocol):
    """What a configuration describes: how to prepare volumes, what to train, how to validate it."""

    @property
    def recipe(self) -> Recipe:
        """How volumes become training data; an empty target means that there is none."""

    @property
    def augment(self) -> AugmentConfig:
        """Augmentation where the configuration says nothing else."""

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs: its arguments beyond the shared ones."""

    @property
    def next_command(self) -> str:
        """What to run after training; ``{run}`` stands for the run folder."""

    @property
    def fewest_calibration(self) -> int:
        """How many calibration volumes a validation needs."""

    @property
    def init_from_files(self) -> bool:
        """Whether ``--init`` takes model files, or run folders alone."""

    def labels(self, subjects: Sequence[Subject]) -> list[int] | None:
        """The class of every subject, None where there are no classes."""

    def model(self) -> TrainableModel:
        """A model with weights from the seed."""

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Validate the averaged part on the calibration patients, of these classes if any."""

    def parts(self, model: Any) -> list[Part]:
        """The parts of its model, in the order of the paper's figure."""


class Kind(Protocol):
    """A model of a mode: its settings, and itself ``of`` a configuration."""

    @property
    def settings(self) -> type[TrainingConfig]:
        """Its settings."""

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings that ``--preset`` stands for."""

    @property
    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings that ``--variant`` stands for."""

    def of(self, config: Any) -> Mode:
        """The mode that its configuration describes."""


MODELS: dict[str, dict[str, str]] = {
    "conditional": {
        "hagan": "hagan_clinic.conditional.settings:ConditionalRun",
        "slab-unet": "hagan_clinic.conditional.slab_unet:SlabUNetRun",
        "cgan2d": "hagan_clinic.conditional.cgan2d:SliceRun",
        "cgan3d-patch": "hagan_clinic.conditional.cgan3d_patch:PatchRun",
        "cgan3d-laf": "hagan_clinic.conditional.cgan3d_laf:FusionRun",
    },
    "unconditional": {
        "hagan": "hagan_clinic.unconditional.settings:UnconditionalRun",
        "wgan-gp": "hagan_clinic.unconditional.wgan_gp:WassersteinRun",
        "vae-gan": "hagan_clinic.unconditional.vae_gan:VariationalRun",
        "alpha-gan": "hagan_clinic.unconditional.alpha_gan:AlphaRun",
        "progressive-gan": "hagan_clinic.unconditional.progressive_gan:ProgressiveRun",
    },
}
"""Where every model of ``TrainingConfig.model`` is, by the mode that it is of."""


def mode_of(config: TrainingConfig) -> Mode:
    """The mode that a configuration names, as it describes it."""
    return kind_of(config.mode, config.model).of(config)


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
    kind = kind_of(**named)
    if preset is not None and preset not in kind.presets:
        near = did_you_mean(preset, kind.presets)
        raise InputError(f"--preset {preset}: expected one of {', '.join(kind.presets)}{near}")
    settings: dict[str, Any] = named | dict(kind.presets[preset or "default"])
    variants = [table["variant"] for table, _ in tables if "variant" in table]
    settings |= kind.variants.get(variants[-1], {}) if variants else {}
    for table, place in tables:
        settings |= typed(kind.settings, table, place)
    return kind.settings(**settings)


def config_from_dict(values: dict[str, Any], where: str) -> TrainingConfig:
    """A configuration of any mode from plain values; ``where`` is named in errors.

    Raises:
        InputError: unknown mode or name, or a value of another type.
    """
    # A run from before there was a choice of models has none in its configuration.
    named = {"mode": values.get("mode"), "model": values.get("model", TrainingConfig.model)}
    return kind_of(**named, where=f"{where}: ").settings.from_dict(
        current_settings(values, where), where
    )


def read_config(run: Path) -> TrainingConfig:
    """The configuration of a run folder.

    Raises:
        ModelError: no run there, or its configuration cannot be read.
    """
    check_run(run)
    path = run / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return config_from_dict(values, str(path))
    except (OSError, ValueError, InputError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def kind_of(mode: Any, model: Any, where: str = "") -> Kind:
    """The model of a mode that these two names stand for; ``where`` begins errors.

    Raises:
        InputError: there is none.
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
        kind: Kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a user's module raises, and what names no module
        if not own:
            raise
        raise InputError(
            f"{where}model is {model!r}, and it cannot be imported ({error}): install its package, "
            "or name its folder in PYTHONPATH"
        ) from error
    missing = [
        part for part in ("settings", "presets", "variants", "of") if not hasattr(kind, part)
    ]
    if missing:
        raise InputError(
            f"{where}model is {model!r}, which has no {', '.join(missing)}: expected a class like "
            "those of hagan_clinic.training.modes.MODELS"
        )
    if kind.settings.model != model:
        raise InputError(
            f"{where}model is {model!r}, whose settings are of {kind.settings.model!r}: expected "
            f"the default model: str = {model!r} in them"
        )
    return kind
