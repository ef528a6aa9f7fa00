"""The BIDS derivative that `translate` makes: what made it and of what, and its sidecars' links."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hagan_clinic import __version__
from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import write_text
from hagan_clinic.imageio.lock import alone_at
from hagan_clinic.imageio.sidecar import read_sidecar
from hagan_clinic.runtime.provenance import NOTICE, TOOL

BIDS_VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
_IGNORED = ".bidsignore"
# What people add to a derivative that BIDS has no place for.
_NO_BIDS = ("results.csv", "*.png", "*.html", "*_report.json")


def describe_derivative(folder: Path, source: Path, model: dict[str, Any]) -> str:
    """Make a folder a BIDS derivative that names its tool, its model and its source.

    A folder may hold results of several data sets, each with a link of its own, but of one model.

    Args:
        folder: Of the results.
        source: The BIDS dataset.
        model: Name, version, sha256 and licence of the generator.

    Returns:
        The name of the link to the source, for sidecars.

    Raises:
        OutputError: A file cannot be written, or the folder is described as another tool's or
            another model's.
    """
    description = folder / DESCRIPTION
    called = _described(source).get("Name", source.resolve().name)
    with alone_at(description):
        if description.exists():
            facts = _described(folder)
            _check_maker(facts, folder, model)
        else:
            facts = {
                "Name": f"Synthetic images of {called}",
                "BIDSVersion": BIDS_VERSION,
                "DatasetType": "derivative",
                "GeneratedBy": [
                    {"Name": TOOL, "Version": __version__, "Description": NOTICE, "Model": model}
                ],
            }
        place = _place(source, folder)
        links = dict(facts.get("DatasetLinks", {}))
        for name, other in links.items():
            if other == place:
                return str(name)
        name, number = "raw", 1
        while name in links:
            number += 1
            name = f"raw{number}"
        source_data = {
            "Name": called,
            "DOI" if _described(source).get("DatasetDOI") else "URL": place,
        }
        facts |= {
            "SourceDatasets": [*facts.get("SourceDatasets", []), source_data],
            "DatasetLinks": {**links, name: place},
        }
        if not (folder / _IGNORED).exists():
            write_text("\n".join(_NO_BIDS) + "\n", folder / _IGNORED)
        write_text(json.dumps(facts, indent=2) + "\n", description)
    return name


def linked(job: TranslationTask, dataset: Path, link: str) -> TranslationTask:
    """A job of a BIDS data set with what BIDS asks of a derivative's sidecar."""
    scans = list(job.source.values()) if isinstance(job.source, Mapping) else [job.source]
    notes = {
        "Sources": [f"bids:{link}:{scan.relative_to(dataset).as_posix()}" for scan in scans],
        # Nothing is stripped here, and a stripped scan gives a stripped image.
        "SkullStripped": read_sidecar(scans[0]).values.get("SkullStripped") is True,
    }
    return replace(job, notes=notes)


def _check_maker(facts: Mapping[str, Any], folder: Path, model: Mapping[str, Any]) -> None:
    made = [
        one
        for one in facts.get("GeneratedBy", [])
        if isinstance(one, dict) and one.get("Name") == TOOL
    ]
    if not made:
        raise OutputError(
            f"{folder / DESCRIPTION}: describes another data set; choose another folder for the "
            "results"
        )
    other = made[0].get("Model", {})
    if other.get("sha256") != model["sha256"]:
        raise OutputError(
            f"{folder}: is the derivative of the model {other.get('name')}, weights "
            f"{str(other.get('sha256'))[:12]}, expected {model['name']}, weights "
            f"{model['sha256'][:12]}; choose another folder, as a derivative names one model"
        )


def _place(source: Path, folder: Path) -> str:
    """The source's DOI, or else its path from the folder: an absolute one is this machine's."""
    if doi := _described(source).get("DatasetDOI"):
        return str(doi) if ":" in doi else f"doi:{doi}"
    try:
        return quote(Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix())
    except ValueError:  # on another drive of Windows
        return quote(source.resolve().name)


def _described(folder: Path) -> dict[str, Any]:
    """What a data set says of itself, as far as it can be read."""
    with suppress(OSError, ValueError):
        value = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        if isinstance(value, dict):
            return value
    return {}
