"""Former names of settings, weights and states, as run folders and TOML files hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = {"judge_width": "discriminator_width", "recipe": "variant"}
"""Today's name of each renamed setting."""

MODULES = {
    "slab_judge": "slab_discriminator",
    "low_judge": "low_discriminator",
    "judge": "discriminator",
}
"""Today's name of each renamed part of a model in training."""

STATE = {"figures": "metrics"}
"""Today's name of each renamed entry of a checkpoint's state."""


def current_settings(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings by the names that they have today; ``where`` is named in errors.

    Raises:
        InputError: a setting is given by its old and by its new name.
    """
    for old, new in SETTINGS.items():
        if old in values and new in values:
            raise InputError(f"{where}: {old} is the former name of {new}; give {new} alone")
    return {SETTINGS.get(name, name): value for name, value in values.items()}


def current_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's weights by the names that its parts have today."""
    renamed = {}
    for name, tensor in tensors.items():
        part, dot, rest = name.partition(".")
        renamed[MODULES.get(part, part) + dot + rest] = tensor
    return renamed


def current_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's state by the names that its entries have today."""
    return {STATE.get(name, name): value for name, value in state.items()}
