"""Inputs that are refused: contrast-enhanced scans, and images that are synthetic already."""

from __future__ import annotations

from pathlib import Path

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read_description
from hagan_clinic.imageio.contrast import contrast_sign
from hagan_clinic.imageio.contrast_fields import contrast_of_file
from hagan_clinic.imageio.sidecar import read_sidecar, sidecar_path

_SYNTHETIC = "SYNTHETIC"  # a word in a header's description; in lower case a key of a sidecar


def refuse_unsuitable(
    path: Path, name: str, *, allow_contrast: bool = False, description: str | None = None
) -> list[str]:
    """Refuse a file that the model must not be given.

    Args:
        path: The source file; a JSON sidecar beside it is read too.
        name: What the model calls this sequence; one that is named as contrast-enhanced itself
            takes contrast-enhanced scans.
        allow_contrast: Take contrast-enhanced scans regardless.
        description: Of the file, where it was read already.

    Returns:
        Warnings: of a sidecar that cannot be read, which may tell of contrast agent.

    Raises:
        InputError: The image is synthetic, or contrast-enhanced by its name or sidecar.
    """
    sidecar = read_sidecar(path)
    marked = str(sidecar.values.get(_SYNTHETIC.lower())).lower() == "true"
    if not marked:
        words = read_description(path) if description is None else description
        marked = _SYNTHETIC in words.upper()
    if marked:
        raise InputError(
            f"{path}: this image is synthetic, expected a scan: translating it again would invent "
            "on top of invention; give the original"
        )
    if allow_contrast or contrast_sign(name):
        return []
    if sign := contrast_of_file(path, sidecar):
        raise InputError(
            f"{path}: looks contrast-enhanced ({sign}), expected a scan without contrast agent; "
            "give the native scan, or --allow-contrast if this is one"
        )
    if sidecar.problem is None:
        return []
    return [
        f"{name} has a sidecar that cannot be read ({sidecar.problem}): it may state contrast "
        f"agent, which a translation would draw as disease; correct {sidecar_path(path).name}, or "
        "remove it if the scan is native"
    ]
