"""The scans a translation starts from: which is which, read, and fit to be translated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.provenance import file_sha256
from hagan_clinic.runtime.refusals import refuse_unsuitable
from hagan_clinic.volume import Volume

Source = str | Path | Volume
"""A file, or a volume in scanner units."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What was read.

    Attributes:
        volumes: The scans in the order of the model's channels, in scanner units.
        paths: Where each was read from; None for a volume from memory.
        facts: File name, sha256, shape and spacing of each, by its name.
        mask: The brain mask, if there is one.
    """

    volumes: tuple[Volume, ...]
    paths: tuple[Path | None, ...]
    facts: Mapping[str, Any]
    mask: Volume | None


def by_name(source: Source | Mapping[str, Source], recipe: Recipe) -> dict[str, Source]:
    """The scans by the model's names, in the order of its channels.

    Raises:
        InputError: They are not exactly those that the model takes.
    """
    if isinstance(source, Mapping):
        if set(source) != set(recipe.sources):
            raise InputError(
                f"given {', '.join(source)}, and this model translates "
                f"{' + '.join(recipe.sources)} to {recipe.target}: give exactly these"
            )
        return {name: source[name] for name in recipe.sources}
    if len(recipe.sources) != 1:
        wanted = " ".join(f"--source {name}=FILE" for name in recipe.sources)
        raise InputError(
            f"given one scan, and this model needs {len(recipe.sources)} "
            f"({', '.join(recipe.sources)}): give {wanted}"
        )
    return {recipe.sources[0]: source}


def files_of(sources: Iterable[Source | None]) -> list[Path]:
    """The files among them."""
    return [Path(source) for source in sources if isinstance(source, str | Path)]


def read_inputs(
    named: Mapping[str, Source], mask: Source | None, *, allow_contrast: bool
) -> Inputs:
    """Read the scans, refusing those that the model must not be given.

    Args:
        named: From `by_name`.
        mask: Brain mask on the scans' grid.
        allow_contrast: Take scans that look contrast-enhanced.

    Raises:
        InputError: A file cannot be read (see `imageio.read`) or is refused (`refuse_unsuitable`).
    """
    volumes, paths, facts = [], [], {}
    for name, source in named.items():
        volume = _read(source)
        path = None if isinstance(source, Volume) else Path(source)
        if path is not None:
            refuse_unsuitable(path, name, allow_contrast=allow_contrast)
        volumes.append(volume)
        paths.append(path)
        facts[name] = {
            "file": None if path is None else path.name,
            "sha256": None if path is None else file_sha256(path),
            "shape": list(volume.shape),
            "spacing_mm": [round(step, 4) for step in volume.spacing],
        }
    return Inputs(tuple(volumes), tuple(paths), facts, None if mask is None else _read(mask))


def _read(source: Source) -> Volume:
    return source if isinstance(source, Volume) else read(source)
