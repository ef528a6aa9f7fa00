"""Inputs that are refused: contrast-enhanced scans, and images that are synthetic already."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read_description, suffix_of

_SYNTHETIC = "SYNTHETIC"  # a word in a header's description; in lower case a key of a sidecar

# Whole tokens of a name, as scanners, BIDS and BraTS use them.
_CONTRAST = re.compile(
    r"t1(ce|c|gd|km|post)|(t1)?\+(c|gd)|ce|gd|gad|gado(linium|vist)?|post(contrast|gd)?|contrast|"
    r"dotarem|magnevist"
)
# "post" before one of these tells of an operation or a treatment, not of contrast agent.
_AFTER_POST = re.compile(r"op(erati(ve|on))?|surg(ery|ical)|resection|rt|(radio)?therapy|treatment")
# "no contrast", "pre gd": the token before takes it back.
_WITHOUT = re.compile(r"non?|not|w/o|without|pre|sans|ohne")
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


def contrast_sign(text: str) -> str | None:
    """The token of a name that tells of contrast agent, if there is one."""
    tokens = re.split(r"[^a-z0-9+/]+", text.lower())
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        operated = token == "post" and _AFTER_POST.fullmatch(after)
        if _CONTRAST.fullmatch(token) and not _WITHOUT.fullmatch(before) and not operated:
            return token
    return None


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
    agent = str(sidecar.get("ContrastBolusAgent") or "").strip()
    if agent and agent.lower() not in ("no", "none", "n/a", "na", "0", "false"):
        return f"ContrastBolusAgent {agent!r} in its sidecar"
    for field in ("SeriesDescription", "ProtocolName"):
        if sign := contrast_sign(str(sidecar.get(field) or "")):
            return f"{sign!r} in {field} of its sidecar"
    return None
