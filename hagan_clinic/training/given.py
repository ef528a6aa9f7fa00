"""Paths that a user gives a training, checked before torch is imported, which takes seconds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hagan_clinic.data.paths import cohort_path, mask_path, split_path
from hagan_clinic.training.config import read_settings

_OPTIONAL: dict[str, Callable[[str], Path]] = {"mask": mask_path, "split": split_path}


def check_paths(files: Sequence[Path], given: Mapping[str, Any]) -> None:
    """Refuse settings whose cohort, mask or split is not there.

    Args:
        files: TOML files of settings.
        given: Settings that count before those.

    Raises:
        InputError: A path is missing or leads nowhere, or a file of settings cannot be read.
    """
    settings: dict[str, Any] = {"data": ""}
    for file in files:
        settings |= read_settings(file)
    settings |= given
    # A value of another type is refused with all the others, by what the model's settings expect.
    named = {name: value for name, value in settings.items() if isinstance(value, str)}
    if "data" in named:
        cohort_path(named["data"])
    for name, check in _OPTIONAL.items():
        if named.get(name):
            check(named[name])
