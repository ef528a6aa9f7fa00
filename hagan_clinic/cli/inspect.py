"""`hagan-clinic inspect`: the DICOM series of a folder, and which of them a model could take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.printing import say, show_table
from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    from hagan_clinic.imageio.dicom.discovery import Found
    from hagan_clinic.imageio.dicom.series import Series
    from hagan_clinic.volume import Grid


@click.command(short_help="Show the DICOM series of a folder.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without names, IDs or dates.")
@click.option("--source", default="t1", show_default=True, help="The sequence to look for.")
@click.option("--allow-contrast", is_flag=True, help="Take contrast-enhanced scans too.")
def command(path: Path, as_json: bool, source: str, allow_contrast: bool) -> None:
    """Show every DICOM series in PATH, whether a model could take it, and why.

    PATH is a folder, a file, a DICOMDIR or a zip. Where there is no series, the exit code is 3.
    """
    from hagan_clinic.imageio.dicom.anonymous import without_names
    from hagan_clinic.imageio.dicom.choice import choose
    from hagan_clinic.imageio.dicom.discovery import find_series

    found = find_series(path)
    if as_json:
        found = without_names(found)
    if not (found.series or found.damaged):
        first = f", the first: {found.ignored[0][1]}" if found.ignored else ""
        raise InputError(f"{path}: holds no DICOM series ({len(found.ignored)} files{first})")
    facts = [_facts(series, source, allow_contrast) for series in found.series]
    try:
        chosen = choose(found, source, allow_contrast=allow_contrast).series.uid
        why = ""
    except InputError as error:
        chosen, why = None, str(error)
    for fact in facts:
        fact["chosen"] = fact["uid"] == chosen
    if as_json:
        say(json.dumps(_counted(facts, found), indent=2))
    else:
        _print(facts, found, why)


def _facts(series: Series, source: str, allow_contrast: bool) -> dict[str, Any]:
    from hagan_clinic.imageio.dicom.choice import assess
    from hagan_clinic.imageio.dicom.geometry import stack
    from hagan_clinic.imageio.dicom.values import number, text

    header = series.header
    verdict = assess(series, source, allow_contrast=allow_contrast)
    try:
        grid = stack(series).grid
    except InputError:
        grid = None
    count = number(header, "SeriesNumber")
    return {
        "number": None if count is None else int(count),
        "uid": series.uid,
        "modality": text(header, "Modality"),
        "description": text(header, "SeriesDescription"),
        "files": len(series.instances),
        "size": None if grid is None else list(grid.shape),
        "spacing_mm": None if grid is None else [round(step, 4) for step in grid.spacing],
        "orientation": None if grid is None else orientation(grid),
        "usable": verdict.usable,
        "reason": verdict.reason,
    }


def orientation(grid: Grid) -> str:
    """The plane of the slices, and by how many degrees the axes are off the body's."""
    import numpy as np

    cosines = np.abs(grid.affine[:3, :3] / np.array(grid.spacing))
    plane = ("sagittal", "coronal", "axial")[int(cosines[:, 2].argmax())]
    angle = float(np.degrees(np.arccos(min(1.0, cosines.max(axis=0).min()))))
    return plane if angle < 0.5 else f"{plane}, {angle:.0f}° oblique"


def _counted(facts: list[dict[str, Any]], found: Found) -> dict[str, Any]:
    """The facts, and how many files are damaged or ignored for each reason."""
    from collections import Counter

    damaged = Counter(one.reason.removeprefix(f"{one.name}: ") for one in found.damaged)
    ignored = Counter(reason.removeprefix(f"{name}: ") for name, reason in found.ignored)
    return {"series": facts, "damaged": dict(damaged), "ignored": dict(ignored)}


def _print(facts: list[dict[str, Any]], found: Found, why: str) -> None:
    if facts:
        header = ("#", "number", "series", "size", "spacing mm", "plane", "verdict")
        rows = [(f"{place}", *_cells(one)) for place, one in enumerate(facts, 1)]
        show_table(header, rows, loose=["series"])
        say("\nFor --series, and why:")
        for place, fact in enumerate(facts, 1):
            say(f"{place:>4}  {fact['uid']}\n      {fact['reason']}")
    for damaged in found.damaged:
        say(f"damaged: {damaged.reason}", err=True)
    if found.ignored:
        say(f"{len(found.ignored)} other files, for example {found.ignored[0][1]}")
    if why:
        say(f"None would be translated as it is: {why}")


def _cells(fact: dict[str, Any]) -> tuple[str, ...]:
    return (
        "" if fact["number"] is None else str(fact["number"]),
        f"{fact['modality']} {fact['description']}",
        f"{fact['files']} files" if fact["size"] is None else _times(fact["size"]),
        "" if fact["spacing_mm"] is None else _times(fact["spacing_mm"]),
        fact["orientation"] or "",
        "chosen" if fact["chosen"] else "usable" if fact["usable"] else "no",
    )


def _times(values: list[float]) -> str:
    return "×".join(f"{value:.4g}" for value in values)
