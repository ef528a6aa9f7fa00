"""Train in a run folder, from settings, a settings file or keywords."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagan_clinic.settings_file import typed
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.registry import gather_settings
from hagan_clinic.training.run import run_training


@dataclass(frozen=True)
class Run:
    """A trained run; wherever a run folder is taken, this is taken too.

    Attributes:
        folder: The run folder.
        step: Steps that it has been trained for.
        best_step: Step of the best checkpoint, which `load` and `export` take.
        metrics: Of the calibration patients at the last validation, such as `psnr`.
    """

    folder: Path
    step: int
    best_step: int
    metrics: Mapping[str, float]

    def __fspath__(self) -> str:
        return str(self.folder)


def train(
    config: TrainingConfig | str | os.PathLike[str] | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    init: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] | None = None,
    **settings: Any,
) -> Run:
    """Train a generator, or resume the run in an existing run folder.

    Args:
        config: Settings, or a TOML file with a `[train]` table; keywords count before them.
        output: The run folder; by default `runs/` and the mode, or a baseline's name.
        preset: Named starting point: `default`, `cpu`, `gpu` or `tiny`; not beside settings that
            are complete already.
        init: What gives the first weights: a run folder, a `.onnx` file or a bundled model's name.
        cache: Folder of the prepared volumes; in the run folder by default.
        say: Called with each line that a person watching wants to know, such as `print`.
        settings: Any setting of the mode, as `data=`, `mode=`, `model=`, `source=`, `target=`
            (docs/reference/training-settings.md).

    Returns:
        The run.

    Raises:
        InputError: Settings, cohort or split do not fit.
        ModelError: A checkpoint or the first weights are damaged or of another architecture.
        DeviceError: The device cannot be had, or its memory does not suffice.
        OutputError: The folder cannot be written.

    Example:
        >>> import hagan_clinic
        >>> run = hagan_clinic.train(
        ...     data="cohort", source="t1", target="flair", preset="tiny", output="run"
        ... )
        >>> run.step
        8
        >>> sorted(run.metrics)
        ['interval_factor', 'psnr', 'ssim']
    """
    gathered = settings_of(config, preset, settings)
    folder = run_folder(gathered) if output is None else Path(output)
    state = run_training(
        gathered,
        folder,
        init=None if init is None else os.fspath(init),
        cache=None if cache is None else Path(cache),
        say=say or (lambda line: None),
    )
    return Run(folder, int(state["step"]), int(state["best_step"]), state["metrics"])


def settings_of(
    config: TrainingConfig | str | os.PathLike[str] | None,
    preset: str | None,
    given: Mapping[str, Any],
) -> TrainingConfig:
    """The settings that `train` would train by; arguments and errors as there."""
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in given.items()
    }
    if isinstance(config, TrainingConfig) and preset is None:
        return dataclasses.replace(
            config, **typed(type(config), plain, "train", one_is_a_list=True)
        )
    if isinstance(config, TrainingConfig):
        raise TypeError("train: a preset is a starting point, and the config is complete already")
    return gather_settings(preset, [] if config is None else [Path(config)], plain, "train")


def run_folder(settings: TrainingConfig) -> Path:
    """The run folder where none is given."""
    name = settings.mode if settings.model == "hagan" else settings.model
    return Path("runs") / name.replace(":", ".")
