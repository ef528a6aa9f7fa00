"""What a run folder holds, by name, and what of it is read without torch."""

import json
from pathlib import Path
from typing import Any

from hagan_clinic.errors import ModelError, OutputError
from hagan_clinic.training.renamed import current_state

CONFIG = "config.json"
SPLIT = "split.csv"
FACTS = "facts.json"
LAST = "last"
BEST = "best"
PART = ".part"
OLD = ".old"


def check_run(run: Path) -> None:
    """Refuse what holds no run.

    Raises:
        ModelError: it has no configuration.
    """
    if not (run / CONFIG).is_file():
        raise ModelError(f"{run} is not a run folder ({CONFIG} is missing): give one")


def read_facts(run: Path) -> dict[str, Any]:
    """What the model card says of a run, apart from its settings.

    Raises:
        ModelError: it cannot be read.
    """
    path = run / FACTS
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    return facts


def existing(folder: Path) -> Path:
    """The checkpoint, or the one before it if a crash fell between two renames."""
    previous = folder.with_name(folder.name + OLD)
    return previous if not folder.exists() and previous.exists() else folder


def read_state(folder: Path) -> dict[str, Any]:
    """A checkpoint's ``state.json``.

    Raises:
        ModelError: missing or unreadable.
    """
    path = existing(folder) / "state.json"
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: expected a checkpoint of hagan-clinic") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error})") from error
    return current_state(state)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}; give another folder") from error
