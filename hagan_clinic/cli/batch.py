"""Which files one call of `translate` makes of which."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio import is_volume_name
from hagan_clinic.imageio.dicom.scan import is_series
from hagan_clinic.imageio.sidecar import stem_of


@dataclass(frozen=True)
class TranslationTask:
    """One subject: its scans, and where its results go.

    Attributes:
        source: The scan, or the scans by their sequences.
        output: Of the synthesised volume; then of what else is wanted.
        called: For people, where the file's name will not do.
        unnamed: No table gives the source's path, which may be named after a patient: what it is
            called says which one of the call it is.
        series: Series Instance UID to take, where the source holds others that could be meant.
        subject: Of a cohort, whom the scans are of.
        mask: Brain mask on the scan's grid.
        notes: What the sidecars say besides.
        problem: Why it cannot be done, reported when its turn comes.
    """

    source: Path | Mapping[str, Path]
    output: Path
    uncertainty: Path | None = None
    preview: Path | None = None
    report: Path | None = None
    called: str = ""
    unnamed: bool = False
    series: str | None = None
    subject: str = ""
    mask: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    problem: InputError | None = None

    @property
    def name(self) -> str:
        """Of the (first) scan, for people: what it is called, or else its file's name."""
        if self.called:
            return self.called
        first = self.source if isinstance(self.source, Path) else next(iter(self.source.values()))
        return first.name

    @property
    def folders(self) -> list[Path]:
        """Where its results lie."""
        places = (self.output, self.uncertainty, self.preview, self.report)
        return [place.parent for place in places if place is not None]


def many_jobs(
    inputs: Sequence[Path],
    target: str,
    source_name: str,
    folder: Path,
    *,
    uncertainty: Path | None = None,
    preview: Path | None = None,
    report: Path | None = None,
) -> list[TranslationTask]:
    """A job for every scan, with results in folders, named after the scan and the target.

    Where scans of different folders have one name, results lie in subfolders like theirs.
    What a DICOM series makes is named by its place among the inputs, as its own name may be a
    patient's.

    Args:
        inputs: Files, folders that hold some, and places that hold a DICOM series.
        target: Name of the synthesised sequence: `sub-01_T1w.nii.gz` gives
            `sub-01_T1w_flair.nii.gz`, and a series as the second input `series002_flair/`.
        source_name: The model's name of its source, to find it in a folder.
        folder: For synthesised volumes.
        uncertainty: Folder for uncertainty maps.
        preview: Folder for pictures.
        report: Folder for reports.

    Raises:
        OutputError: Two scans would give one output.
    """
    jobs: dict[Path, TranslationTask] = {}
    scans = list(_scans(inputs, source_name))
    top = _top_of([scan for scan, place in scans if not place])
    for scan, place in scans:
        stem, suffix, called = f"series{place:03}", "", f"input {place}"
        if not place:
            below = scan.absolute().parent.relative_to(top) if top else Path()
            stem, suffix, called = str(below / stem_of(scan)), ".nii.gz", str(below / scan.name)
        output = folder / f"{stem}_{target}{suffix}"
        if output in jobs:
            raise OutputError(
                f"{output}: both {jobs[output].source} and {scan} would be written there; "
                "translate them to different folders"
            )
        jobs[output] = TranslationTask(
            scan,
            output,
            uncertainty and uncertainty / f"{stem}_{target}_uncertainty{suffix}",
            preview and preview / f"{stem}_{target}.png",
            report and report / f"{stem}_{target}_report.json",
            called,
            unnamed=bool(place),
        )
    return list(jobs.values())


def _top_of(scans: Sequence[Path]) -> Path | None:
    """The folder that all are in, if some have the same name and differ by their folders."""
    if len({stem_of(scan) for scan in scans}) == len(scans):
        return None
    return Path(os.path.commonpath([scan.absolute().parent for scan in scans]))


def _scans(inputs: Iterable[Path], source_name: str) -> Iterator[tuple[Path, int]]:
    """Each scan, and of a DICOM series its place among the inputs from 1, of others 0."""
    for place, path in enumerate(inputs, start=1):
        if may_be_series(path):
            yield path, place
        else:
            yield from ((p, 0) for p in (scans_in(path, source_name) if path.is_dir() else [path]))


def may_be_series(path: Path) -> bool:
    """Whether a path is to be read as DICOM, or cannot be determined: the reader then says why."""
    try:
        return is_series(path)
    except InputError:
        return True


def scans_in(folder: Path, source_name: str) -> list[Path]:
    """The volume files of a folder: those named as the source (`t1`, `T1w`, `t1n`), or all."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    scans = [path for path in files if is_volume_name(path)]
    name = source_name.lower()
    named = [path for path in scans if {name, f"{name}w", f"{name}n"} & _tokens(path)]
    return named or scans


def _tokens(path: Path) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", path.name.lower()))
