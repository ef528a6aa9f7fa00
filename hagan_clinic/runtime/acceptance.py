"""The acceptance check: does an installed model give here what it gave where it was released?

Beside a model lies the folder `acceptance`: scans, one for each source, and `expected.npz` with
what the model made of them at every second voxel along each axis. The check goes the whole way,
from reading the scans' files to reading the written results, on this machine's own device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic import __version__
from hagan_clinic.errors import InputError, ModelError, OutputError
from hagan_clinic.imageio import atomic_path, read, write_bytes
from hagan_clinic.imageio.arrays import open_npz
from hagan_clinic.runtime.library import find_model
from hagan_clinic.runtime.sources import Source, by_name, files_of
from hagan_clinic.runtime.translation import Translator

FOLDER = "acceptance"
EXPECTED = "expected.npz"
SCHEMA = 1

STEP = 2
"""Every second voxel along each axis is compared, an eighth of all, to keep the reference small."""

LARGEST = 1 / 255
MEAN = LARGEST / 10
"""Accepted differences on the output's scale from 0 to 1: no voxel is off by more than one of 255
grey levels, and the whole by a tenth of one. Arithmetic of another processor or GPU stays below,
other weights, sources or geometry do not."""

_RESULTS = {"image": "target.nii.gz", "half_width": "half_width.nii.gz"}

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class AcceptanceComparison:
    """One output against what is expected of it.

    Attributes:
        subject: Which output.
        voxels: How many were compared.
        largest: Absolute difference, on the scale from 0 to 1; infinite where shapes differ or a
            value is not finite.
        mean: Likewise.
    """

    subject: str
    voxels: int
    largest: float
    mean: float

    @property
    def passed(self) -> bool:
        """Whether both differences are within `LARGEST` and `MEAN`."""
        return self.largest <= LARGEST and self.mean <= MEAN


@dataclass(frozen=True)
class Acceptance:
    """The outcome of a check.

    Attributes:
        comparisons: Of each output.
        same_model: Whether the weights are those that the expected results were made with.
        recorded: Tool version and sha256 of the model behind the expected results.
        report: Of the translation, see `runtime.report.run_report`.
    """

    comparisons: tuple[AcceptanceComparison, ...]
    same_model: bool
    recorded: Mapping[str, str]
    report: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether this installation gives what it should."""
        return self.same_model and all(one.passed for one in self.comparisons)


def accept(model: str | Path, device: str = "auto", *, threads: int | None = None) -> Acceptance:
    """Translate the model's own reference scans and compare with the expected results.

    Args:
        model: Name of a bundled model, or path of a `.onnx` file with a folder `acceptance` beside.
        device: `auto`, `cpu`, `cuda` or `tensorrt`.
        threads: CPU threads; all usable cores if not given.

    Raises:
        ModelError: The model cannot be used, or its reference is missing or damaged.
        DeviceError: The device cannot be had.
    """
    path = find_model(model)
    folder = path.parent / FOLDER
    translator = Translator(path, device, threads=threads)
    expected = _read_expected(folder / EXPECTED)
    scans: dict[str, Source] = {
        name: folder / f"{name}.nii.gz" for name in translator.model.recipe.sources
    }
    for scan in files_of(scans.values()):
        if not scan.is_file():
            raise _missing(scan)
    found, report = _translate(translator, scans)
    recorded = {key: str(expected[key]) for key in ("tool_version", "model_sha256")}
    comparisons = tuple(_compared(name, found[name], expected[name]) for name in _RESULTS)
    same = recorded["model_sha256"] == translator.model.sha256
    return Acceptance(comparisons, same, recorded, report)


def record(
    model: str | Path, scans: Mapping[str, Path], device: str = "auto", *, overwrite: bool = False
) -> Path:
    """Make the reference that `accept` compares with, from scans that may be shipped.

    Args:
        model: Name of a bundled model, or path of a `.onnx` file.
        scans: `.nii.gz` files, which are copied, by the names of the model's sources.
        device: Where the expected results are computed.
        overwrite: Replace a reference that is there.

    Returns:
        The folder `acceptance` beside the model.

    Raises:
        InputError: The scans do not suit the model, or are no `.nii.gz` files.
        ModelError: The model cannot be used.
        OutputError: There is a reference already, or it cannot be written.
    """
    path = find_model(model)
    folder = path.parent / FOLDER
    if (folder / EXPECTED).exists() and not overwrite:
        raise OutputError(f"{folder}: holds a reference already; give --overwrite to replace it")
    translator = Translator(path, device)
    named = by_name(scans, translator.model.recipe)
    if other := [scan for scan in scans.values() if not scan.name.endswith(".nii.gz")]:
        raise InputError(f"{other[0]}: expected a .nii.gz file, as a reference is shipped as one")
    found, _ = _translate(translator, named)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}; choose another") from error
    for name, scan in scans.items():
        write_bytes(scan.read_bytes(), folder / f"{name}.nii.gz")
    fields: dict[str, Any] = {
        "schema": np.array(SCHEMA),
        "tool_version": np.array(__version__),
        "model_sha256": np.array(translator.model.sha256),
        **found,
    }
    with atomic_path(folder / EXPECTED) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **fields)
    return folder


def _translate(
    translator: Translator, scans: Mapping[str, Source]
) -> tuple[dict[str, Float32], dict[str, Any]]:
    """Every second voxel of the written volumes, and the report."""
    with tempfile.TemporaryDirectory() as scratch:
        written = {name: Path(scratch) / file for name, file in _RESULTS.items()}
        done = translator.translate(scans, written["image"], uncertainty=written["half_width"])
        found = {name: _thinned(read(path).array) for name, path in written.items()}
    return found, dict(done.report)


def _thinned(array: NDArray[Any]) -> Float32:
    return np.ascontiguousarray(array[::STEP, ::STEP, ::STEP], np.float32)


def _read_expected(path: Path) -> dict[str, NDArray[Any]]:
    wanted = ("schema", "tool_version", "model_sha256", *_RESULTS)
    try:
        with open_npz(path) as file:
            expected = {name: file[name] for name in wanted}
    except FileNotFoundError as error:
        raise _missing(path) from error
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise ModelError(
            f"{path}: damaged ({error}); install the package again, or record it again"
        ) from error
    if int(expected["schema"]) != SCHEMA:
        raise ModelError(f"{path}: schema {expected['schema']}, expected {SCHEMA}: record it again")
    return expected


def _missing(path: Path) -> ModelError:
    return ModelError(
        f"{path} is missing: expected the model's reference beside it; install the package again, "
        "or make a reference with --record"
    )


def _compared(subject: str, found: Float32, expected: NDArray[Any]) -> AcceptanceComparison:
    if found.shape != expected.shape or not np.isfinite(found).all():
        return AcceptanceComparison(subject, found.size, float("inf"), float("inf"))
    difference = np.abs(found.astype(np.float64) - expected)
    return AcceptanceComparison(
        subject, found.size, float(difference.max()), float(difference.mean())
    )
