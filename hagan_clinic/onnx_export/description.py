"""What a model file says of itself: its card, and the facts of its training."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.model_file import Card
from hagan_clinic.settings_file import read_toml, typed
from hagan_clinic.training.config import TrainingConfig

_LOCAL = frozenset(["data", "mask", "split", "fractions", "device", "devices", "nodes", "workers"])
"""Settings of the machine, not of the model: they stay out of the file."""


def training_facts(
    config: TrainingConfig, state: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What a model file says of its training: settings, steps, metrics."""
    return {
        "config": {k: v for k, v in dataclasses.asdict(config).items() if k not in _LOCAL},
        "step": state["step"],
        "seconds": round(float(state.get("seconds", 0))),
        "calibration": state.get("metrics", {}),
        **facts,
    }


def read_card(path: Path | None, run: Path, description: str) -> Card:
    """The card of a TOML file, or the least that can be said of a run.

    Raises:
        InputError: The file cannot be read, or holds something else than a card.
    """
    if path is None:
        return Card(
            name=run.resolve().name,
            licence="NOASSERTION",
            description=description,
            intended_use="Research, not for diagnosis.",
        )
    values = typed(Card, read_toml(path), f"the card {path}")
    if missing := [name for name in ("name", "licence") if not values.get(name)]:
        raise InputError(f"the card {path} lacks {' and '.join(missing)}")
    return Card(**values)
