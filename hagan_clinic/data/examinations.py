"""What a cohort has to translate: the source sequences of each examination, without a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hagan_clinic.data.incomplete import refuse
from hagan_clinic.data.layouts import Layout, endings, read_layout
from hagan_clinic.data.paths import is_table
from hagan_clinic.data.tables import from_csv
from hagan_clinic.errors import InputError


@dataclass(frozen=True)
class Examination:
    """The scans that make one translation.

    Attributes:
        subject: The examination they are of; several runs are of one.
        scans: Source sequence -> NIfTI file, in the order of the model's channels.
        folder: Where it stands in the cohort, relative to its top.
        mask: Brain mask on the same grid, where there is one.
        problem: Why it cannot be translated, reported when its turn comes.
    """

    subject: str
    scans: Mapping[str, Path]
    folder: PurePath
    mask: Path | None = None
    problem: InputError | None = None


def examinations(path: Path, sources: Sequence[str]) -> tuple[list[Examination], bool]:
    """The examinations of a cohort that have a source sequence, and whether it is BIDS.

    Where the model takes one sequence, every file of it is an examination: the runs of a session
    are translated each. Where it takes several, an examination has one file of each.

    Args:
        path: Folder or CSV file, read as training reads it.
        sources: Names of the model's source sequences.

    Raises:
        InputError: No file of a source sequence is found, or the CSV is malformed.
    """
    if is_table(path):
        subjects, incomplete = from_csv(path, sources)
        refuse(incomplete, len(subjects), path)
        return [_of_row(sub.name, sub.images, sub.mask) for sub in subjects], False
    layout = read_layout(path)
    found = [
        examination
        for name in sorted(layout.examinations)
        for examination in (
            _each_file(layout, name, sources[0])
            if len(sources) == 1
            else _one_of_each(layout, name, sources)
        )
    ]
    if not found:
        looked_for = {source: endings(source) for source in sources}
        raise InputError(
            f"{path} holds no {' or '.join(sources)}; looked for file names ending in {looked_for}"
        )
    return found, layout.is_bids


def _of_row(name: str, images: Mapping[str, Path], mask: Path | None) -> Examination:
    # A name becomes a folder of the output, and may not lead out of it.
    if PurePath(name).name != name or "\\" in name:
        problem = InputError(f"the subject's name {name!r} cannot name a folder; rename it")
        return Examination(name, images, PurePath(), mask, problem)
    return Examination(name, images, PurePath(name), mask)


def _each_file(layout: Layout, name: str, source: str) -> list[Examination]:
    return [_placed(layout, name, {source: file}) for file in layout.files(name, source)]


def _one_of_each(layout: Layout, name: str, sources: Sequence[str]) -> list[Examination]:
    files = {source: layout.files(name, source) for source in sources}
    scans = {source: found[0] for source, found in files.items() if found}
    if not scans:
        return []
    try:
        for source in sources:
            if layout.single(name, source) is None:
                raise InputError(f"{name} lacks {source}; add the file, or leave it out by a CSV")
    except InputError as problem:
        return [_placed(layout, name, scans, problem)]
    return [_placed(layout, name, scans)]


def _placed(
    layout: Layout, name: str, scans: Mapping[str, Path], problem: InputError | None = None
) -> Examination:
    first = next(iter(scans.values()))
    try:
        mask = layout.mask(name, first)
    except InputError as several:
        mask, problem = None, problem or several
    return Examination(name, scans, first.parent.relative_to(layout.root), mask, problem)
