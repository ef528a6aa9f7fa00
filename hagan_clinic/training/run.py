"""From a configuration to a trained run folder: cohort, split, queue, model, loop."""

import json
import platform
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from hagan_clinic import __version__
from hagan_clinic.data.check import check_prepared, seen_files
from hagan_clinic.data.cohort import check_cohort, find_cohort
from hagan_clinic.data.measurements import standard_scores
from hagan_clinic.data.paths import cohort_path
from hagan_clinic.data.prepared import check_size, prepare_cohort
from hagan_clinic.data.queue import slab_loader
from hagan_clinic.data.region import prepare_regions, region_files
from hagan_clinic.data.split import read_split, split_by_column, split_by_patient, write_split
from hagan_clinic.errors import DeviceError, InputError, OutputError
from hagan_clinic.imageio import write_text
from hagan_clinic.progress import counted
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.curves import CURVES
from hagan_clinic.training.initial import identity, load_first_weights
from hagan_clinic.training.loop import train
from hagan_clinic.training.registry import build_model, read_config
from hagan_clinic.training.run_folder import (
    BEST,
    CONFIG,
    FACTS,
    LAST,
    PART,
    SPLIT,
    existing,
    make_folder,
    read_facts,
    read_state,
)
from hagan_clinic.training.trainable import StartsFromVolumes

Say = Callable[[str], None]


def run_training(
    config: TrainingConfig,
    folder: Path,
    *,
    init: str | Path | None = None,
    cache: Path | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Train, or resume, in a run folder.

    A folder that already holds a run is resumed: its configuration must be the same, but for
    the settings in ``FREE_ON_RESUME``, and so must ``init`` if it is given again.

    Args:
        config: the run's settings.
        folder: the run folder.
        init: what gives the first weights (fine-tuning): a run folder, a ``.onnx`` file, or
            the name of a bundled model.
        cache: folder of the prepared volumes; in the run folder when None.
        say: called with each line that a person watching wants to see.

    Returns:
        The state of the last checkpoint.

    Raises:
        InputError: the cohort, split or settings do not fit.
        ModelError: a checkpoint is corrupt or of another architecture.
        DeviceError: the device cannot be had, or its memory does not suffice.
        OutputError: the folder cannot be written.
    """
    recipe = config.recipe
    cohort_path(config.data)
    augment = config.augmentation
    check_resume(config, folder, init)
    fabric = _fabric(config)
    if not fabric.is_global_zero:
        say = _silent

    subjects = find_cohort(config.data, recipe.sources, recipe.target or None, config.mask or None)
    for warning in check_cohort(subjects):
        say(f"warning: {warning}")
    resuming = existing(folder / LAST).exists()
    if resuming:
        split = read_split(folder / SPLIT, subjects)
    elif config.split:
        split = read_split(config.split, subjects)
    else:
        split = split_by_column(subjects) or split_by_patient(
            subjects, config.seed, config.fractions
        )
    if len(split.calibration) < config.fewest_calibration:
        raise InputError(
            f"the split has {len(split.calibration)} calibration subjects, and a validation needs "
            f"{config.fewest_calibration} or more: add patients, or give a --split with more"
        )
    sides = {name: len(side) for name, side in split.subsets().items()}
    say(f"{len(subjects)} subjects: " + ", ".join(f"{n} {name}" for name, n in sides.items()))

    config.labels(subjects)  # refuses unknown ones before any work is done
    measurements = standard_scores(split.train, getattr(config, "measurements", ()))
    region = str(getattr(config, "region", ""))
    if region:
        region_files(split.train, region)
    if init is not None and not config.init_from_files and not Path(init).is_dir():
        raise InputError(f"--init {init}: expected a run folder with --mode {config.mode}")
    model = build_model(config)
    first_weights = read_facts(folder).get("init") if resuming else None
    if init is not None and not resuming:
        first_weights = load_first_weights(model.averaged, init)
        say(f"starting from the weights of {init}")

    if fabric.is_global_zero:
        make_folder(folder)
    fabric.barrier()

    # The pictures a run shows are never of test patients, so these are not even prepared.
    seen = [*split.train, *split.calibration]
    with (
        fabric.rank_zero_first(local=True),
        counted("preparing", len(seen), quiet=not fabric.is_global_zero) as progress,
    ):
        prepared = prepare_cohort(
            seen, recipe, cache or folder / "cache", shape=config.size, progress=progress
        )
    if fabric.is_global_zero:
        write_text(config.to_json(), folder / CONFIG)
        write_split(split, folder / SPLIT)
    fabric.barrier()
    _check_shared(folder)
    training, calibration = prepared[: len(split.train)], prepared[len(split.train) :]
    too_small = [] if config.size is None else check_size(prepared)
    for warning in too_small:
        say(f"warning: {warning}")
    if fabric.is_global_zero:
        sides_of = {"train": training, "calibration": calibration}
        faults = check_prepared(sides_of, recipe.sources, recipe.target or None)
        for found in [*seen_files(seen, split.test), *faults]:
            say(f"warning: {found.subject or 'the cohort'}: {found.text}")
    # A subject with a mask is shown without its skull; of one without, nobody knows what is left.
    masked = sum(subject.mask is not None for subject in seen)
    stripped = augment.stripped > 0 and masked == len(seen)
    if augment.stripped > 0 and 0 < masked < len(seen):
        say(
            f"warning: {len(seen) - masked} of {len(seen)} subjects have no brain mask, so some "
            "heads are shown with their skull and some without; give masks for all or none"
        )
    shape = prepared[0].shape
    say(f"training box {'x'.join(map(str, shape))} voxels of {config.spacing:g} mm (D, H, W)")

    if fabric.is_global_zero:
        facts = {
            "hagan_clinic": __version__,
            "torch": torch.__version__,
            "subjects": sides,
            "box": shape,
            "skull_stripped": stripped,
            "init": first_weights,
        }
        write_text(json.dumps(facts, indent=2), folder / FACTS)
    step = int(read_state(folder / LAST)["step"]) if resuming else 0
    if step:
        say(f"resuming at step {step}")
    batches_from = partial(
        slab_loader,
        training,
        thickness=min(config.slab, shape[0]),
        batch_size=config.batch_size,
        slabs_per_volume=config.slabs_per_volume,
        queue_length=config.queue_length,
        workers=config.workers,
        resident_share=config.resident_share,
        seed=config.seed,
        augment=augment,
        labels=config.labels(split.train),
        measurements=measurements,
        regions=prepare_regions(split.train, training, region, recipe) if region else None,
        device=fabric.device,
        **config.sampling,
    )
    drawn = getattr(config, "start_volumes", 0)
    if drawn and isinstance(model, StartsFromVolumes) and not resuming and init is None:
        # The same in every process: each draws what the first one would train on alone.
        first = batches_from(start_index=0, rank=0, world_size=1)
        count = -(-drawn // config.batch_size)
        model.start(batch["source_whole"].cpu() for batch in islice(first, count))
        say(f"starting from the components of {count * config.batch_size} augmented volumes")
    batches = batches_from(start_index=step, rank=fabric.global_rank, world_size=fabric.world_size)
    state = train(
        model,
        batches,
        lambda averaged: model.validate(
            averaged, calibration, config.labels(split.calibration), fabric.device
        ),
        config,
        folder,
        fabric,
    )
    metrics = "  ".join(f"{name} {value:.4g}" for name, value in state["metrics"].items())
    say(f"{folder}: step {state['step']}, best at {state['best_step']}; {metrics}")
    say(f"next: {config.next_command.format(run=folder)}")
    return state


BEFORE_STEPS = frozenset(
    [
        *(CONFIG, SPLIT, FACTS, CURVES, "cache", "metrics.csv", "montages", "tensorboard"),
        *(BEST + PART, LAST + PART),
    ]
)
"""What a run leaves that ended before its first checkpoint: it may be started over."""

FREE_ON_RESUME = frozenset(
    [
        *("device", "devices", "nodes", "workers", "precision", "gradient_checkpointing"),
        *("channels_last", "compile"),
        *("validate_every", "checkpoint_every", "resident_share"),
    ]
)
"""Settings that may change between two parts of one run; the schedules hang on ``steps``."""


def check_resume(config: TrainingConfig, folder: Path, init: str | Path | None) -> None:
    """Refuse a folder that holds a run of other settings, or something else.

    Raises:
        InputError: it does.
    """
    if not existing(folder / LAST).exists():
        if folder.is_file() or (
            folder.is_dir() and any(p.name not in BEFORE_STEPS for p in folder.iterdir())
        ):
            raise OutputError(f"{folder} is not empty and holds no run: give a new folder")
        return
    before = read_config(folder)
    changed = [
        name
        for name in config.__dataclass_fields__
        if name not in FREE_ON_RESUME and getattr(before, name, None) != getattr(config, name)
    ]
    if changed:
        options = ", ".join(
            f"{name} ({getattr(before, name, None)!r}, now {getattr(config, name)!r})"
            for name in changed
        )
        raise InputError(
            f"{folder} holds a run with other settings: {options}; "
            "use the same ones to resume, or give a new folder"
        )
    began_from = read_facts(folder).get("init")
    if init is not None and (now := identity(init))["sha256"] != (began_from or {}).get("sha256"):
        before_it = (
            f"the weights of {_shown(began_from)}" if began_from else "weights from its seed"
        )
        raise InputError(
            f"{folder} holds a run that began from {before_it}, and --init now gives those of "
            f"{_shown(now)}: leave --init out to resume, or give a new folder"
        )


def _shown(weights: dict[str, str]) -> str:
    return f"{weights['name']} (sha256 {weights['sha256'][:12]})"


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


def _check_shared(folder: Path) -> None:
    """Every process must see the folder that the first one has just written to."""
    if not (folder / CONFIG).is_file():
        raise OutputError(
            f"{folder} on {platform.node()} is not the run folder of the first machine: give one "
            "that all machines share"
        )
