"""The page: a template, the subjects' facts as JSON, and their volumes, in one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from hagan_clinic.imageio import write_text
from hagan_clinic.runtime.page.subject import Failure, ShownSubject
from hagan_clinic.runtime.provenance import NOTICE

ONE_LIMIT = 19 * 2**20
"""Bytes that one subject may take: a page of one stays under 20 MiB."""
LIMIT = 58 * 2**20
"""Bytes of all subjects together, as far as `subject.COARSEST_MM` allows."""


def room_for(count: int) -> int:
    """Bytes for each of so many subjects."""
    return min(ONE_LIMIT, LIMIT // max(count, 1))


PAGE_SUFFIXES = (".html", ".htm")
"""Of a page's file."""


def most_doubtful_first(subject: ShownSubject) -> tuple[float, ...]:
    """The order of most warnings, then of the largest figures."""
    return (-len(subject.warnings), *(-figure for figure in subject.figures.values()))


def write_page(
    rows: Sequence[ShownSubject | Failure],
    path: Path,
    footer: str = "",
    *,
    order: Callable[[ShownSubject], Any] = most_doubtful_first,
) -> None:
    """Write the page, atomically: failures first, then subjects, the worst first.

    Args:
        rows: At least one.
        path: An `.html` file.
        footer: One line about model and licence.
        order: What subjects are sorted by.

    Raises:
        OutputError: The file cannot be written.
    """
    ordered = sorted((row for row in rows if isinstance(row, ShownSubject)), key=order)
    failures = [row for row in rows if isinstance(row, Failure)]
    # Within a script element "<" could end it, or begin a comment.
    facts = json.dumps([*map(_failed, failures), *map(_facts, ordered)]).replace("<", "\\u003c")
    volumes = "\n".join(
        f'<script type="text/plain" id="volume-{number}-{place}">{picture.data}</script>'
        for number, subject in enumerate(ordered, start=len(failures))
        for place, picture in enumerate(subject.pictures)
    )
    text = _part("page.html")
    # What comes from outside is put in last, so that no marker is looked for in it.
    for marker, value in {
        "{{style}}": _part("page.css"),
        "{{script}}": "\n".join(map(_part, ("planes.js", "viewer.js", "cohort.js"))),
        "{{notice}}": NOTICE,
        "{{volumes}}": volumes,
        "{{footer}}": escape(footer),
        "{{facts}}": facts,
    }.items():
        text = text.replace(marker, value)
    write_text(text, path)


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _failed(failure: Failure) -> dict[str, Any]:
    return {
        "name": failure.name,
        "key": hashlib.sha256(f"{failure.name}\n{failure.reason}".encode()).hexdigest()[:16],
        "problem": failure.reason,
        "shape": [0, 0, 0],
        "warnings": [],
        "figures": {},
        "pictures": [],
    }


def _facts(subject: ShownSubject) -> dict[str, Any]:
    return {
        "name": subject.name,
        "key": subject.key,
        "shape": list(subject.grid.shape),
        "spacing": [round(step, 4) for step in subject.grid.spacing],
        "affine": subject.grid.affine.tolist(),
        "warnings": list(subject.warnings),
        "figures": {name: round(value, 4) for name, value in subject.figures.items()},
        "thumbnail": f"data:image/jpeg;base64,{subject.thumbnail}",
        "pictures": [
            {
                "name": picture.name,
                "kind": picture.kind,
                "low": picture.low,
                "step": picture.step,
                "opening": list(picture.window),
                "scanner": picture.scanner,
            }
            for picture in subject.pictures
        ],
    }
