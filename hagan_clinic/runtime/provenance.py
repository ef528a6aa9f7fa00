"""What travels with an output: what it is, what it was made from, what it is not for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.imageio.dicom.derivation import NOTICE, Content
from hagan_clinic.runtime.model_file import ModelFile

__all__ = [
    "NOTICE",
    "REMINDER",
    "TOOL",
    "file_sha256",
    "licence_in_words",
    "model_identity",
    "sidecar",
]

REMINDER = "SYNTHETIC, research use only, not for diagnosis."
"""The last line of a command that made volumes."""
TOOL = "hagan-clinic"


def licence_in_words(licence: str) -> str:
    """A licence as people read it: SPDX says `NOASSERTION` where none was stated."""
    return "no licence stated" if licence == "NOASSERTION" else licence


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_identity(model: ModelFile) -> dict[str, Any]:
    """Which weights made an output, and under which licence."""
    return {
        "name": model.card.name,
        "version": model.card.version,
        "sha256": model.sha256,
        "licence": model.card.licence,
    }


def credit(identity: Mapping[str, Any]) -> str:
    """What `model_identity` says, in a line under a picture."""
    licence = licence_in_words(str(identity["licence"]))
    return f"{identity['name']}, weights {identity['sha256'][:12]}, {licence}"


def sidecar(
    model: ModelFile,
    sources: Mapping[str, Any],
    content: Content,
    *,
    tf32: bool = False,
    mask_sha256: str | None = None,
) -> dict[str, Any]:
    """The JSON beside a synthesised volume or its uncertainty map.

    Args:
        model: The generator.
        sources: File name and sha256 of every source by its name.
        content: Which of the two.
        tf32: Whether the network computed with TensorFloat-32.
        mask_sha256: Of the brain mask, where one was given.
    """
    low, high = model.recipe.percentiles
    target = model.recipe.target
    by_content = {
        "image": {
            "content": f"{target} synthesised from {', '.join(model.recipe.sources)}",
            "units": "none, from 0 to 1",
            "scale": (
                f"0 and 1 are the {low:g} and {high:g} percentiles of the brain's voxels in the "
                "scans of the target sequence that the model was trained on; 0 also where nothing "
                "was synthesised"
            ),
        },
        "uncertainty": {
            "content": f"uncertainty of the synthesised {target}",
            "units": "those of the synthesised volume, from 0 to 1",
            "scale": (
                "half-width of the 90 % interval: calibrated so that the scan lies within "
                "synthesised value ± this in 90 % of the voxels of patients like those of the "
                "calibration set; 1, the whole range, where tissue was not synthesised"
            ),
        },
    }
    settings: dict[str, Any] = {"tf32": True} if tf32 else {}
    if mask_sha256 is not None:
        settings["mask_sha256"] = mask_sha256
    return {
        "notice": NOTICE,
        "synthetic": True,
        "intended_use": "research only",
        "tool": {"name": TOOL, "version": __version__},
        "model": model_identity(model),
        "sources": dict(sources),
        **({"settings": settings} if settings else {}),
        **by_content[content],
    }
