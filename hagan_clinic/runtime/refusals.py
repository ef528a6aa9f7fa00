"""Inputs that are refused: contrast-enhanced scans, and images that are synthetic already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read_description, suffix_of
from hagan_clinic.imageio.contrast import agent_given, contrast_sign

_SYNTHETIC = "SYNTHETIC"  # a word in a header's description; in lower case a key of a sidecar

_MOST_SIDECAR_BYTES = 2**20


def refuse_unsuitable(path: Path, name: str, *, allow_contrast: bool = False) -> None:
    """Refuse a file that the model must not be given.

    Args:
        path: The source file; a JSON sidecar beside it is read too.
        name: What the model calls this sequence; one that is named as contrast-enhanced itself
            takes contrast-enhanced scans.
        allow_contrast: Take contrast-enhanced scans regardless.

    Raises:
        InputError: The image is synthetic, or contrast-enhanced by its name or sidecar.
    """
    sidecar = read_sidecar(path)
    if sidecar.get(_SYNTHETIC.lower()) is True or _SYNTHETIC in read_description(path).upper():
        raise InputError(
            f"{path}: this image is synthetic, expected a scan: translating it again would invent "
            "on top of invention; give the original"
        )
    if allow_contrast or contrast_sign(name):
        return
    token = contrast_sign(_stem(path))
    sign = f"{token!r} in its name" if token else _sidecar_contrast(sidecar)
    if sign:
        raise InputError(
            f"{path}: looks contrast-enhanced ({sign}), expected a scan without contrast agent; "
            "give the native scan, or --allow-contrast if this is one"
        )


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """The JSON object beside a volume file; empty if there is none to be read."""
    sidecar = sidecar_path(path)
    try:
        if sidecar.stat().st_size > _MOST_SIDECAR_BYTES:
            return {}
        value = json.loads(sidecar.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def sidecar_path(path: Path) -> Path:
    """`flair.json` for `flair.nii.gz`."""
    return path.with_name(_stem(path) + ".json")


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(suffix_of(path))]


def _sidecar_contrast(sidecar: Mapping[str, Any]) -> str | None:
    if agent := agent_given(str(sidecar.get("ContrastBolusAgent") or "")):
        return f"ContrastBolusAgent {agent!r} in its sidecar"
    for field in ("SeriesDescription", "ProtocolName"):
        if sign := contrast_sign(str(sidecar.get(field) or "")):
            return f"{sign!r} in {field} of its sidecar"
    return None
