"""From a configuration to a trained run folder: cohort, split, queue, model, loop."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from hagan_clinic import __version__
from hagan_clinic.conditional import (
    SIDE_MULTIPLE,
    ConditionalHAGAN,
    GeneratorConfig,
    LossWeights,
)
from hagan_clinic.errors import DeviceError, InputError, ModelError, OutputError
from hagan_clinic.imageio import write_text
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.augment import AugmentConfig
from hagan_clinic.training.checkpoint import CONFIG, LAST, existing, read_state
from hagan_clinic.training.cohort import check_cohort, find_cohort
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.initial import load_first_weights
from hagan_clinic.training.loop import train
from hagan_clinic.training.prepared import check_overlap, prepare_cohort
from hagan_clinic.training.queue import slab_loader
from hagan_clinic.training.split import read_split, split_by_column, split_by_patient, write_split
from hagan_clinic.training.validation import validate_translation

Say = Callable[[str], None]


@dataclass(frozen=True)
class ConditionalRun:
    """The model and the recipe that a configuration of ``--mode conditional`` describes."""

    generator: GeneratorConfig
    recipe: Recipe

    @classmethod
    def of(cls, config: TrainingConfig) -> "ConditionalRun":
        """Read the run's generator and recipe off its configuration."""
        generator = GeneratorConfig(
            source_channels=len(config.source),
            half_width=config.half_width,
            quarter_width=config.quarter_width,
            high_blocks=config.high_blocks,
            low_res_branch=config.low_res_branch,
        )
        recipe = Recipe(
            sources=config.source,
            target=config.target,
            spacing=(config.spacing,) * 3,
            multiple=SIDE_MULTIPLE,
            halo=generator.halo,
            interval_factor=0.0,
        )
        return cls(generator, recipe)

    def model(self, config: TrainingConfig) -> ConditionalHAGAN:
        """A model with weights from the seed."""
        torch.manual_seed(config.seed)
        return ConditionalHAGAN(
            self.generator,
            LossWeights(
                high=config.weight_high,
                low=config.weight_low,
                structure=config.weight_structure,
                likelihood=config.weight_likelihood,
                adversarial=config.weight_adversarial,
                background=config.weight_background,
            ),
            adversarial_start=round(config.adversarial_start * config.steps),
            generator_lr=config.generator_lr,
            discriminator_lr=config.discriminator_lr,
            muon=config.optimizer == "muon",
        )


def run_training(
    config: TrainingConfig,
    folder: Path,
    *,
    init: str | Path | None = None,
    cache: Path | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Train, or go on training, in a run folder.

    A folder that already holds a run is resumed: its configuration must be the same, but for
    the settings in ``FREE_ON_RESUME``.

    Args:
        config: the run's settings.
        folder: the run folder.
        init: what gives the first weights (fine-tuning): a run folder, a ``.onnx`` file, or
            the name of a bundled model.
        cache: folder of the prepared volumes; in the run folder when None.
        say: told what a person watching wants to know, a line at a time.

    Returns:
        The state of the last checkpoint.

    Raises:
        InputError: the cohort, split or settings do not fit.
        ModelError: a checkpoint is corrupt or of another architecture.
        DeviceError: the device cannot be had, or its memory does not suffice.
        OutputError: the folder cannot be written.
    """
    run = ConditionalRun.of(config)
    recipe = run.recipe
    if not config.data:
        raise InputError("no data: give a folder or a CSV file of the cohort with --data")
    augment = _augmentation(config)
    _check_resume(config, folder)
    fabric = _fabric(config)
    if not fabric.is_global_zero:
        say = _silent

    subjects = find_cohort(config.data, config.source, config.target, config.mask or None)
    for warning in check_cohort(subjects):
        say(f"warning: {warning}")
    resuming = existing(folder / LAST).exists()
    if resuming:
        split = read_split(folder / SPLIT, subjects)
    elif config.split:
        split = read_split(config.split, subjects)
    else:
        split = split_by_column(subjects) or split_by_patient(subjects, config.seed)
    if not split.calibration:
        raise InputError(
            "the split has no calibration patients, who choose the checkpoint and fit the error "
            "bar: add some, or more patients"
        )
    sides = {name: len(side) for name, side in split.sides().items()}
    say(f"{len(subjects)} subjects: " + ", ".join(f"{n} {name}" for name, n in sides.items()))

    # The pictures a run shows are never of test patients, so these are not even prepared.
    with fabric.rank_zero_first(local=True):
        prepared = prepare_cohort(
            [*split.train, *split.calibration], recipe, cache or folder / "cache", shape=config.size
        )
    training, calibration = prepared[: len(split.train)], prepared[len(split.train) :]
    for warning in check_overlap(prepared):
        say(f"warning: {warning}")
    shape = prepared[0].shape
    say(f"training box {'x'.join(map(str, shape))} voxels of {config.spacing:g} mm (D, H, W)")

    if fabric.is_global_zero:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {folder}: {error.strerror}") from error
        write_text(config.to_json(), folder / CONFIG)
        write_split(split, folder / SPLIT)
        _write_facts(folder, sides, shape)
    fabric.barrier()

    model = run.model(config)
    if init is not None and not resuming:
        load_first_weights(model.generator, init)
        say(f"starting from the weights of {init}")
    step = int(read_state(folder / LAST)["step"]) if resuming else 0
    if step:
        say(f"resuming at step {step}")
    batches = slab_loader(
        training,
        thickness=min(config.slab, shape[0]),
        halo=config.halo,
        batch_size=config.batch_size,
        slabs_per_volume=config.slabs_per_volume,
        queue_length=config.queue_length,
        workers=config.workers,
        seed=config.seed,
        start_index=step,
        augment=augment,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    state = train(
        model,
        batches,
        lambda generator: validate_translation(generator, calibration, fabric.device),
        config,
        folder,
        fabric,
    )
    figures = "  ".join(f"{name} {value:.4g}" for name, value in state["figures"].items())
    say(f"{folder}: step {state['step']}, best at {state['best_step']}; {figures}")
    say(f"next: hagan-clinic export {folder} -o model.onnx")
    return state


def read_config(run: Path) -> TrainingConfig:
    """The configuration of a run folder.

    Raises:
        ModelError: no run there, or its configuration cannot be read.
    """
    path = run / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return TrainingConfig.from_dict(values, str(path))
    except FileNotFoundError as error:
        raise ModelError(f"{run} is no run folder ({CONFIG} is missing): give one") from error
    except (OSError, ValueError, InputError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


SPLIT = "split.csv"

BEFORE_STEPS = frozenset([CONFIG, SPLIT, "cache", "facts.json", "metrics.csv", "tensorboard"])
"""What a run leaves that ended before its first checkpoint: it may be started over."""

FREE_ON_RESUME = frozenset(
    [
        *("steps", "device", "devices", "nodes", "workers", "precision"),
        *("validate_every", "checkpoint_every"),
    ]
)
"""Settings that may change between two parts of one run."""


def _check_resume(config: TrainingConfig, folder: Path) -> None:
    if not existing(folder / LAST).exists():
        if folder.is_file() or (
            folder.is_dir() and any(p.name not in BEFORE_STEPS for p in folder.iterdir())
        ):
            raise OutputError(f"{folder} is not empty and holds no run: give a new folder")
        return
    before = read_config(folder)
    changed = [
        name
        for name in TrainingConfig.__dataclass_fields__
        if name not in FREE_ON_RESUME and getattr(before, name) != getattr(config, name)
    ]
    if changed:
        options = ", ".join(
            f"{name} ({getattr(before, name)!r}, now {getattr(config, name)!r})" for name in changed
        )
        raise InputError(
            f"{folder} holds a run with other settings: {options}; "
            "use the same ones to resume, or give a new folder"
        )


def _augmentation(config: TrainingConfig) -> AugmentConfig:
    known = AugmentConfig.__dataclass_fields__
    if unknown := sorted(set(config.augment) - set(known)):
        raise InputError(f"augment has {unknown}, expected of {sorted(known)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.augment.items()
    }
    return AugmentConfig(**values)


def _silent(line: str) -> None:
    """What the processes after the first one say."""


def _fabric(config: TrainingConfig) -> Fabric:
    """Device, precision and processes, launched."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "--device cuda, but PyTorch sees no CUDA device: check the driver and that PyTorch is "
            "a CUDA build, or use --device cpu"
        )
    fabric = Fabric(
        accelerator=config.device,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
        precision=config.precision,  # type: ignore[arg-type]  # a str here, a Literal there
    )
    fabric.launch()
    return fabric


def _write_facts(folder: Path, sides: dict[str, int], shape: tuple[int, int, int]) -> None:
    """What the model card tells of the training, apart from its settings."""
    facts = {
        "hagan_clinic": __version__,
        "torch": torch.__version__,
        "subjects": sides,
        "box": shape,
    }
    write_text(json.dumps(facts, indent=2), folder / "facts.json")
