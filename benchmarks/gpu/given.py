"""What `on_gpu.py` tells each of its parts, and the settings that they measure."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()

GENERATOR: dict[str, Any] = {
    "mode": "conditional",
    "spacing": 1.0,
    "size": [160, 192, 160],
    "slab": 32,
    "halo": 8,
    "batch_size": 8,
    "half_width": 32,
    "quarter_width": 128,
    "precision": "bf16-mixed",
    "slabs_per_volume": 4,
    "queue_length": 96,
    "workers": 8,
    "ema": 0.995,
    "generator_lr": 1.5e-3,
    "seed": 1,
}
"""The 1 mm generator, as it is trained and as its training is timed."""

SMALL_GENERATOR = GENERATOR | {
    "spacing": 4.0,
    "size": [48, 48, 48],
    "slab": 16,
    "halo": 4,
    "batch_size": 2,
    "half_width": 8,
    "quarter_width": 16,
    "precision": "32-true",
    "queue_length": 4,
    "workers": 0,
}

CUBE: dict[str, Any] = {"mode": "unconditional", "size": [256] * 3}
SMALL_CUBE = CUBE | {"size": [32] * 3, "width": 64, "discriminator_width": 64, "latent": 8}
"""The unconditional model whose step is set against the authors'."""


BRAIN = Path(__file__).resolve().parents[2] / "export" / "brain" / "train.toml"
FINE_BRAIN: dict[str, Any] = {
    "mode": "unconditional",
    "spacing": 1.5,
    "size": [128, 128, 128],
    "slab": 32,
    "batch_size": 8,
    "precision": "bf16-mixed",
}
"""The bundled brains at twice their resolution, over the settings of BRAIN."""

SMALL_BRAIN = FINE_BRAIN | {
    "spacing": 6.0,
    "size": [32, 32, 32],
    "slab": 8,
    "batch_size": 2,
    "latent": 8,
    "width": 32,
    "context": 16,
    "discriminator_width": 32,
    "component_draws": 16,
    "precision": "32-true",
}

TRAINED = ("t1_to_flair", "brain")


class Given(argparse.Namespace):
    """The arguments of a part."""

    device: str
    small: bool
    seconds: float
    scratch: Path
    out: Path
    data: str
    init: str
    rate: float
    trained: str

    @property
    def config(self) -> Path | None:
        """What the settings of the training for the time left are over; None for the defaults."""
        return BRAIN if self.trained == "brain" else None

    @property
    def training(self) -> dict[str, Any]:
        """Settings of the training for the time left."""
        if self.trained == "brain":
            return SMALL_BRAIN if self.small else FINE_BRAIN
        return self.generator

    @property
    def cube(self) -> dict[str, Any]:
        """Settings of the unconditional model."""
        return SMALL_CUBE if self.small else CUBE

    @property
    def generator(self) -> dict[str, Any]:
        """Settings of the conditional model."""
        return SMALL_GENERATOR if self.small else GENERATOR

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.seconds - (time.monotonic() - BEGAN)

    def cohort(self) -> str:
        """What is trained on: --data, or patients made up once."""
        if self.data:
            return self.data
        from training_memory import write_cohort

        folder = self.scratch / "cohort"
        if not folder.exists():
            shape = (48, 48, 48) if self.small else (160, 192, 160)
            patients = 14 if self.trained == "brain" else 6  # samples are validated against pairs
            write_cohort(folder, patients, shape, spacing=self.generator["spacing"])
        return str(folder)


def given(arguments: Sequence[str] | None = None) -> Given:
    """Read them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cpu")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"))
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--data", default="")
    parser.add_argument("--init", default="")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--trained", choices=TRAINED, default=TRAINED[0])
    return parser.parse_args(arguments, namespace=Given())


def tell(**row: Any) -> None:
    """Hand a row over, at once."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
