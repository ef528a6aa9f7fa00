"""The JSON sidecar beside a volume file, read as far as it can be."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hagan_clinic.imageio.formats import suffix_of

MOST_BYTES = 2**22
"""Beyond it a file is not parsed; sidecars of converters have some kB."""

_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])')
_FIELD = re.compile(
    r"""(?:"([^"\\\n]{1,64})"|'([^'\\\n]{1,64})')\s*:\s*"""
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s,}\]"']+))"""
)


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar states.

    Attributes:
        values: By name; empty without a sidecar. Of one that is no JSON what can be made out.
        problem: Why it cannot be read, if it cannot: what `values` lacks may be in it all the
            same.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def sidecar_path(path: Path) -> Path:
    """`flair.json` for `flair.nii.gz`."""
    return path.with_name(stem_of(path) + ".json")


def stem_of(path: Path) -> str:
    """`flair` for `flair.nii.gz`."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def read_sidecar(path: Path) -> Sidecar:
    """Read the sidecar of a volume file.

    Converters and editors write Latin-1, UTF-16, a byte order mark, raw line ends within texts and
    trailing commas; all are read.
    """
    try:
        with sidecar_path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Sidecar()
    except OSError as error:
        return Sidecar(problem=error.strerror or type(error).__name__)
    if len(content) > MOST_BYTES:
        problem = f"it has more than {MOST_BYTES // 2**20} MiB"
        return Sidecar(_made_out(_decoded(content[:MOST_BYTES])), problem)
    text = _decoded(content)
    for attempt in (text, _TRAILING_COMMA.sub(lambda match: match[1] or "", text)):
        try:
            value = json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return Sidecar(value)
        return Sidecar(_made_out(text), "it is no JSON object")
    return Sidecar(_made_out(text), "it is no JSON")


def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if content[1:2] == b"\0" != content[:1]:
        return content.decode("utf-16-le", "replace")
    if content[:1] == b"\0" != content[1:2]:
        return content.decode("utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _made_out(text: str) -> dict[str, Any]:
    """Names and plain values, wherever they stand."""
    found: dict[str, Any] = {}
    for match in _FIELD.finditer(text):
        value = next((part for part in match.groups()[2:] if part is not None), "")
        found.setdefault(match[1] or match[2], value)
    return found
