"""Evaluate models on a cohort, by what they are."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hagan_clinic.api.encoding_evaluation import evaluate_encoders
from hagan_clinic.api.evaluated import Evaluated
from hagan_clinic.api.synthesis_evaluation import evaluate_generators
from hagan_clinic.api.translation_evaluation import evaluate_translators
from hagan_clinic.evaluation.evaluated_patients import is_run
from hagan_clinic.runtime import find_model, load_model
from hagan_clinic.runtime.model_interface import TRANSLATOR
from hagan_clinic.training.registry import read_config

PathOrName = str | os.PathLike[str]
Kind = Literal["translation", "synthesis", "encoding"]


def evaluate(
    models: PathOrName | Sequence[PathOrName],
    cohort: PathOrName,
    output: PathOrName,
    *,
    kind: Kind | None = None,
    split: PathOrName | None = None,
    subset: str = "test",
    mask: PathOrName | None = None,
    device: str = "auto",
    overwrite: bool = False,
    quiet: bool = True,
    **options: Any,
) -> Evaluated:
    """Evaluate models on patients that they never saw, beside reference baselines.

    Args:
        models: Run folders, model files or bundled models' names; one or several to compare.
        cohort: A folder or a CSV, as of `train`.
        output: Folder for tables and pictures.
        kind: `translation`, `synthesis` (samples) or `encoding`; by default translation or
            synthesis, whichever the first model does.
        split: CSV of subject and split; without it the cohort's own, or that of the first run.
        subset: Part of the split to evaluate on: `test`, `calibration` or `train`.
        mask: One brain mask for all subjects.
        device: Where models run.
        overwrite: Replace files that exist.
        quiet: Show no progress.
        options: Further arguments of the kind's own function: `evaluate_translators`,
            `evaluate_generators` or `evaluate_encoders` of `hagan_clinic.api`.

    Returns:
        Tables, warnings, and the names of the files.

    Raises:
        InputError: The cohort, its split or the models do not fit.
        ModelError: A model is missing or unusable.
        DeviceError: The device cannot be had.
        OutputError: A file exists or cannot be written.

    Example:
        >>> import hagan_clinic
        >>> found = hagan_clinic.evaluate("run", "cohort", "results", device="cpu")
        >>> found.files[0], len(found.tables) > 1
        ('translation.md', True)
    """
    given = [models] if isinstance(models, str | os.PathLike) else list(models)
    places = Path(cohort), Path(output)
    shared: dict[str, Any] = {
        "split": None if split is None else Path(split),
        "subset": subset,
        "mask": None if mask is None else Path(mask),
        "device": device,
        "overwrite": overwrite,
        "quiet": quiet,
        **options,
    }
    kind = kind or _kind_of(given)
    if kind == "translation":
        return evaluate_translators(given, *places, **shared)
    evaluate_with = evaluate_generators if kind == "synthesis" else evaluate_encoders
    return evaluate_with([Path(model) for model in given], *places, **shared)


def _kind_of(models: Sequence[PathOrName]) -> Kind:
    """What the first model does; folders of volumes are taken for translations."""
    if not models:
        return "translation"
    path = Path(models[0])
    if is_run(path):
        return "translation" if read_config(path).mode == "conditional" else "synthesis"
    if path.is_dir():
        return "translation"
    file = load_model(find_model(os.fspath(models[0])), None)
    return "translation" if file.kind == TRANSLATOR else "synthesis"
