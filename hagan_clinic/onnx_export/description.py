"""What a model file says of itself: its card, and the facts of its training."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.model_file import Card
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
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the card {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the card {path} is not valid TOML: {error}") from error
    known = {field.name for field in dataclasses.fields(Card)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"the card {path} has {unknown}, expected of {sorted(known)}")
    if missing := [name for name in ("name", "licence") if not values.get(name)]:
        raise InputError(f"the card {path} lacks {' and '.join(missing)}")
    return Card(**values)
