"""The scans a translation starts from: which is which, read, and fit to be translated."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import VolumeFile, read, read_file
from hagan_clinic.imageio.dicom.scan import SeriesScan, find_stack, read_series
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.provenance import file_sha256
from hagan_clinic.runtime.refusals import refuse_unsuitable
from hagan_clinic.volume import Volume, to_axes_of

Source = str | Path | Volume
"""A volume file, a DICOM series (a folder, file, DICOMDIR or zip), or a volume in scanner units."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What was read.

    Attributes:
        volumes: The scans in the order of the model's channels, in scanner units.
        files: What each was read from; None for a series or a volume from memory.
        facts: File name, sha256, shape and spacing of each, by its name; of a series the number of
            its files instead of a name.
        mask: The brain mask, if there is one.
        mask_sha256: Of its file, or of its voxels.
        stack: The series that a derived one can take its patient, study and place from.
        doubts: Warnings of what was beside the scans (see `refuse_unsuitable`).
    """

    volumes: tuple[Volume, ...]
    files: tuple[VolumeFile | None, ...]
    facts: Mapping[str, Any]
    mask: Volume | None
    mask_sha256: str | None = None
    stack: Stack | None = None
    doubts: tuple[str, ...] = ()


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
    named: Mapping[str, Source],
    mask: Source | None,
    *,
    places: Container[Path],
    allow_contrast: bool,
    series: str | None = None,
    dicom_like: Path | None = None,
) -> Inputs:
    """Read the scans, refusing those that the model must not be given.

    Args:
        named: From `by_name`.
        mask: Brain mask on the scans' grid.
        places: Those of the scans that are DICOM series (see `imageio.dicom.scan.is_series`).
        allow_contrast: Accept scans that look contrast-enhanced.
        series: Series Instance UID, where a place holds several that could be meant.
        dicom_like: A DICOM series that a scan in another format lies on.

    Raises:
        InputError: A file cannot be read (see `imageio.read`) or is refused (`refuse_unsuitable`),
            no series of a place can be used (see `imageio.dicom.choice`), or the scan does not
            lie on the grid of `dicom_like`.
    """
    volumes, files, facts, doubts = [], [], {}, []
    stack: Stack | None = None
    if dicom_like is not None:
        first = next(iter(named))
        stack = find_stack(
            dicom_like, first, series, allow_contrast=allow_contrast, called="--dicom-like"
        )
    for name, source in named.items():
        file = None
        called = name
        origin: dict[str, Any] = {"file": None, "sha256": None}
        if isinstance(source, Volume):
            volume = source
        elif Path(source) in places:
            scan = read_series(Path(source), name, series, allow_contrast=allow_contrast)
            stack = stack or scan.stack
            volume, origin = scan.volume, _series_facts(scan)
        else:
            file = read_file(source)
            volume, called = file.volume, str(source)
            doubts += refuse_unsuitable(
                file.path, name, allow_contrast=allow_contrast, description=file.description
            )
            origin = {"file": file.path.name, "sha256": file_sha256(file.path)}
        if dicom_like is not None and stack is not None and origin.get("dicom_files") is None:
            _check_lies_on(volume, stack, name)
        _check_shown(volume, called)
        volumes.append(volume)
        files.append(file)
        spacing = [round(step, 4) for step in volume.spacing]
        facts[name] = {**origin, "shape": list(volume.shape), "spacing_mm": spacing}
    # Tools write the same voxels with their axes in another order.
    grid = volumes[0].grid
    volumes = [to_axes_of(volume, grid) for volume in volumes]
    marked = None if mask is None else to_axes_of(_read(mask), grid)
    return Inputs(
        tuple(volumes), tuple(files), facts, marked, _mask_sha256(mask), stack, tuple(doubts)
    )


def _read(source: Source) -> Volume:
    return source if isinstance(source, Volume) else read(source)


def _check_shown(volume: Volume, called: str) -> None:
    # Of nearly every scan a few voxels tell enough.
    for part in (volume.array[::4, ::4, ::4], volume.array):
        low = float(part.min())
        if low != float(part.max()):
            return
    raise InputError(
        f"{called}: all voxels have the value {low:g}: the image is empty; expected a brain"
    )


def _series_facts(scan: SeriesScan) -> dict[str, Any]:
    files = len({id(part.instance) for part in scan.stack.slices})
    return {"file": None, "dicom_files": files, "sha256": scan.sha256}


def _check_lies_on(volume: Volume, stack: Stack, name: str) -> None:
    turned = to_axes_of(volume, stack.grid)
    if not turned.grid.same_as(stack.grid):
        raise InputError(
            f"{name} ({turned.grid}) does not lie on the grid of the series of --dicom-like "
            f"({stack.grid}), expected the same voxels: give the series it was converted from"
        )


def _mask_sha256(mask: Source | None) -> str | None:
    if mask is None:
        return None
    if isinstance(mask, Volume):
        return hashlib.sha256(np.ascontiguousarray(mask.array > 0.5).tobytes()).hexdigest()
    return file_sha256(Path(mask))
