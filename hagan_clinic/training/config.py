"""The settings of training, their checks, and the TOML file that holds them."""

from __future__ import annotations

import dataclasses
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.errors import InputError
from hagan_clinic.settings_file import read_toml, typed, underscored

if TYPE_CHECKING:
    from hagan_clinic.data.subject import Subject
    from hagan_clinic.recipe import Recipe

DEFAULTS_FILE = Path("hagan-clinic.toml")
"""Read from the working folder when it is there."""


CHOICES = {
    "mode": ("conditional", "unconditional"),
    "precision": ("32-true", "bf16-mixed"),
    "device": ("auto", "cpu", "cuda"),
}
"""Settings that take one of a few words."""


SEEDS = 2**32
"""A step is seeded with the run's seed and its own number, 32 bits each."""


@dataclass(frozen=True)
class TrainingConfig(ABC):
    """Settings of every mode of training; each mode adds its own.

    Attributes:
        mode: what to train.
        model: by which model: ``hagan``, or one of the baselines of the mode.
        data: cohort: a folder (BraTS or BIDS layout) or a CSV file.
        mask: one brain mask for all subjects, over those found beside them.
        split: CSV of subject and split; without it the cohort or the seed decides, by patient.
        fractions: shares of the patients for training, calibration and test, where the seed
            decides.
        seed: of the split, the initial weights and every sample; below 2**32.
        spacing: voxel size in mm that volumes are resampled to.
        size: (D, H, W) of the training box; found from the cohort when None.
        steps: optimiser steps.
        batch_size: slabs a step, on each device.
        slab: slices of a slab, a multiple of 4; the depth of the box trains on whole volumes.
        generator_lr: the generator's learning rate.
        discriminator_lr: Adam's constant rate of the discriminators.
        clip: highest gradient norm of a step; 0 does not clip.
        ema: decay of the averaged weights.
        low_res_branch: False is the ablation without it.
        workers: processes that read prepared volumes; with 0 a thread of the training process
            does, which is quickest on a CPU.
        slabs_per_volume: slabs taken of a volume once it is read; they share its augmentation.
        queue_length: slabs in the queue; more mix the patients better.
        resident_share: of a GPU's memory; a cohort that takes no more stays there, and needs no
            workers.
        precision: Fabric's: ``32-true`` or ``bf16-mixed``.
        device: ``auto``, ``cpu`` or ``cuda``.
        channels_last: lay out weights and features with the channels last in memory.
        compile: let ``torch.compile`` make kernels for the blocks; the first steps wait for them.
            In bf16 on a CPU it makes none.
        devices: processes (CPU) or GPUs to train on, on each machine.
        nodes: machines; start the same command on each with ``torchrun``.
        validate_every: steps between validations on the calibration patients.
        checkpoint_every: steps between checkpoints; each validation makes one too.
        augment: probabilities and strengths, see ``data.augment.AugmentConfig``.
    """

    mode: str = "conditional"
    model: str = "hagan"
    data: str = ""
    mask: str = ""
    split: str = ""
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: int = 0
    spacing: float = 1.5
    size: tuple[int, int, int] | None = None
    steps: int = 20000
    batch_size: int = 2
    slab: int = 32
    generator_lr: float = 2e-3
    discriminator_lr: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    low_res_branch: bool = True
    workers: int = 0
    slabs_per_volume: int = 1
    queue_length: int = 8
    resident_share: float = 0.5
    precision: str = "32-true"
    device: str = "auto"
    channels_last: bool = True
    compile: bool = False
    devices: int = 1
    nodes: int = 1
    validate_every: int = 500
    checkpoint_every: int = 250
    augment: dict[str, Any] = field(default_factory=dict)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """Settings that ``--preset`` stands for."""
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings that ``--variant`` stands for; each can still be given."""
    usual_augmentation: ClassVar[AugmentConfig] = AugmentConfig()
    """Where ``augment`` says nothing else."""
    fewest_calibration: ClassVar[int] = 1
    """How many calibration volumes a validation needs."""
    init_from_files: ClassVar[bool] = False
    """Whether ``--init`` takes model files, or run folders alone."""
    next_command: ClassVar[str]
    """What to run after training; ``{run}`` stands for the run folder."""
    smaller: ClassVar[str] = "--slab"
    """What else to lower where memory does not suffice for a step."""

    def __post_init__(self) -> None:
        check_choice(self, "model", (type(self).model,))
        for name, choices in CHOICES.items():
            check_choice(self, name, choices)
        check_range(self, ("spacing", "generator_lr", "discriminator_lr", "slabs_per_volume"))
        check_range(self, ("seed", "workers", "queue_length", "clip"), zero=True)
        check_range(self, ("resident_share",), zero=True, highest=1)
        if self.seed >= SEEDS:
            raise InputError(f"seed is {self.seed}: expected less than {SEEDS} (2**32)")
        if not 0 <= self.ema < 1:
            raise InputError(f"ema is {self.ema}: expected 0 or more, and less than 1")
        if self.slab % 4 or self.slab <= 0:
            raise InputError(f"--slab is {self.slab}: expected a positive multiple of 4")
        counts = ("steps", "batch_size", "validate_every", "checkpoint_every", "devices", "nodes")
        for name in counts:
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {getattr(self, name)}: expected 1 or more")

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """How volumes become training data; an empty target means that there is none."""

    @property
    @abstractmethod
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs: its arguments beyond the shared ones."""

    @property
    def augmentation(self) -> AugmentConfig:
        """How training volumes are changed."""
        return dataclasses.replace(
            self.usual_augmentation, **typed(AugmentConfig, self.augment, "augment")
        )

    def labels(self, subjects: Sequence[Subject]) -> list[int] | None:
        """The class of every subject, None where there are no classes."""
        return None

    def to_json(self) -> str:
        """The run's ``config.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2)


def check_choice(config: TrainingConfig, name: str, choices: Sequence[str]) -> None:
    """Refuse a setting that is none of its words."""
    if getattr(config, name) not in choices:
        expected = ", ".join(choices)
        raise InputError(f"{name} is {getattr(config, name)!r}: expected one of {expected}")


def check_range(
    config: TrainingConfig,
    names: Sequence[str],
    *,
    zero: bool = False,
    highest: float = math.inf,
) -> None:
    """Refuse settings that are negative, infinite, above the highest or, unless allowed, zero."""
    for name in names:
        value = getattr(config, name)
        if not (0 <= value <= highest and value < math.inf and (zero or value > 0)):
            expected = "0 or more" if zero else "a positive number"
            if highest < math.inf:
                expected = f"0 to {highest:g}"
            raise InputError(f"{name} is {value}: expected {expected}")


def check_window(window: Sequence[float]) -> None:
    """Refuse a window of scanner values that is not a lower and a higher one; empty is none."""
    finite = all(math.isfinite(end) for end in window)
    if window and not (len(window) == 2 and finite and window[0] < window[1]):
        raise InputError(f"window is {window}: expected a lower and a higher value")


def read_settings(path: Path) -> dict[str, Any]:
    """The ``[train]`` table of a TOML file.

    Raises:
        InputError: missing file, invalid TOML or no such table.
    """
    table = read_toml(path).get("train")
    if not isinstance(table, dict):
        raise InputError(f"{path} has no [train] table: put the settings under one")
    return underscored(table)
