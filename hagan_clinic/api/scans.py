"""The scans to encode: files, cohort folders and CSVs, checked before the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import read, suffix_of
from hagan_clinic.progress import counted
from hagan_clinic.runtime.synthesis import Encoder, named
from hagan_clinic.volume import Grid, same_lattice


@dataclass(frozen=True)
class ScanFile:
    """One scan: its name, its file, its brain mask, and its class where the cohort has one."""

    name: str
    path: Path
    mask: Path | None
    label: str = ""


def find_scans(inputs: Sequence[Path], encoder: Encoder, mask: Path | None) -> list[ScanFile]:
    """The scans of files, folders and CSVs.

    Args:
        inputs: Volume files, which are named after themselves, and cohorts as `train` reads them,
            a folder or a CSV, of which the images of the encoder's sequence are taken.
        encoder: What will read them.
        mask: Brain mask of all; without it those of a cohort.

    Raises:
        InputError: A cohort cannot be read, or two scans have one name.
    """
    from hagan_clinic.data.cohort import find_cohort

    scans: list[ScanFile] = []
    for path in inputs:
        if path.is_dir() or path.suffix.lower() == ".csv":
            for subject in find_cohort(path, (encoder.image,), None, mask):
                label = subject.values.get(encoder.facts.label, "")
                image = subject.images[encoder.image]
                scans.append(ScanFile(subject.name, image, subject.mask, label))
        else:
            scans.append(ScanFile(path.name[: len(path.name) - len(suffix_of(path))], path, mask))
    names = [scan.name for scan in scans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"several scans have the name {some(twice)}: list them in a CSV with a column "
            "'subject', a name of its own for each"
        )
    return scans


def check_scans(encoder: Encoder, scans: Sequence[ScanFile], *, quiet: bool = False) -> list[str]:
    """Read every scan once and refuse those that cannot be encoded, all of them in one message.

    Args:
        encoder: What will read them.
        scans: From `find_scans`.
        quiet: Show no progress.

    Returns:
        A warning, if the encoder wants brain masks and some are missing.

    Raises:
        InputError: A file is missing, damaged or holds NaN, a scan is constant, or a mask is empty
            or on another grid.
    """
    mask_grid = lru_cache(maxsize=None)(_mask_grid)
    wrong = []
    with counted("checking", len(scans), quiet=quiet) as step:
        for scan in scans:
            try:
                _check_scan(scan, mask_grid)
            except InputError as error:
                wrong.append(named(error, scan.path))
            step()
    if len(wrong) == 1:
        raise InputError(wrong[0])
    if wrong:
        raise InputError(f"{len(wrong)} of {len(scans)} scans cannot be used: {some(wrong)}")
    warning = _mask_warning(encoder, scans)
    return [warning] if warning else []


def encode_scans(
    encoder: Encoder, scans: Sequence[ScanFile], *, quiet: bool = False
) -> tuple[NDArray[np.float32], list[str]]:
    """The latents (N, latent) of checked scans, and the warnings of them.

    Args:
        encoder: What reads them.
        scans: From `find_scans`, at least one.
        quiet: Show no progress.

    Raises:
        InputError: A scan or its mask cannot be used.
        ModelError: The network gave values that are not finite.
        DeviceError: Memory did not suffice.
    """
    rows, warnings = [], []
    with counted("encoding", len(scans), quiet=quiet) as step:
        for scan in scans:
            prepared = encoder.prepare(scan.path, scan.mask)
            warnings += [f"{scan.name}: {warning}" for warning in prepared.warnings]
            rows.append(encoder.encode(prepared.array))
            step()
    return np.stack(rows), warnings


def _check_scan(scan: ScanFile, mask_grid: Callable[[Path], Grid]) -> None:
    volume = read(scan.path)
    if float(volume.array.min()) == float(volume.array.max()):
        raise InputError(
            f"all voxels have the value {float(volume.array.flat[0]):g}: the image is constant; "
            "expected a scan"
        )
    if scan.mask is not None and not same_lattice(mask_grid(scan.mask), volume.grid):
        raise InputError(
            f"the brain mask {scan.mask} ({mask_grid(scan.mask)}) lies on another grid than the "
            f"scan ({volume.grid}): resample it first"
        )


def _mask_grid(path: Path) -> Grid:
    mask = read(path)
    if not np.any(mask.array > 0.5):
        raise InputError(f"{path}: the brain mask is empty; expected a mask that marks the brain")
    return mask.grid


def _mask_warning(encoder: Encoder, scans: Sequence[ScanFile]) -> str:
    """What to say where the model knows brains alone and masks are missing; else empty."""
    bare = [scan.name for scan in scans if scan.mask is None]
    if not bare or not encoder.facts.stripped or encoder.facts.recipe.window:
        return ""
    return (
        "the model was trained on brains without skull, and no brain mask is given for "
        f"{some(bare)}: give --mask, unless the skull has been removed"
    )
