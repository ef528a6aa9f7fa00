"""Paths that hold in a worker, which runs in a folder of its own."""

from pathlib import Path
from typing import TypeVar

from hagan_clinic.runtime.library import is_path

MaybePath = TypeVar("MaybePath", Path, Path | None)


def absolute(path: MaybePath) -> MaybePath:
    """The path from the root; None stays None."""
    return path.absolute() if path is not None else path


def model_anywhere(given: str) -> str:
    """A model's path from the root; the name of a bundled one, as each worker has its own file."""
    return str(Path(given).absolute()) if is_path(given) else given
