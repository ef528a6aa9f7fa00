"""A translation's files: volumes with what marks them as synthetic, preview and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hagan_clinic.imageio import DESCRIPTION, write
from hagan_clinic.imageio.dicom.derivation import Content
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.sidecar import sidecar_path
from hagan_clinic.runtime import provenance
from hagan_clinic.runtime.derived_series import derivation, write_derived
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.outputs import Outputs, all_or_none, write_json
from hagan_clinic.runtime.preview import write_preview
from hagan_clinic.runtime.providers import Device
from hagan_clinic.runtime.report import Stopwatch, run_report
from hagan_clinic.runtime.sources import Inputs
from hagan_clinic.volume import Volume


def write_translation(
    outputs: Outputs,
    volumes: Mapping[Content, Volume],
    inputs: Inputs,
    facts: Mapping[str, Any],
    clock: Stopwatch,
    *,
    series_options: SeriesOptions | None = None,
    supersedes: Sequence[str] = (),
    notes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the files that are wanted, all or none.

    Args:
        outputs: Where to.
        volumes: `image` and `uncertainty`.
        inputs: What was translated.
        facts: Of the run, as `run_report` takes them.
        clock: Of the run, which the writing is a part of.
        series_options: What a site chooses about the series it writes.
        supersedes: Series Instance UIDs of earlier series that this one takes the place of.
        notes: What the sidecars say besides.
        overwrite: Replace files that exist.

    Raises:
        OutputError: A file exists or cannot be written.
    """
    model: ModelFile = facts["model"]
    device: Device = facts["device"]
    paths: dict[Content, Path | None] = {
        "image": outputs.image,
        "uncertainty": outputs.uncertainty,
    }
    with all_or_none(outputs.paths, overwrite=overwrite) as temporaries:
        place = dict(zip(outputs.paths, temporaries, strict=True))
        with clock.stage("write"):
            for content, volume in volumes.items():
                path = paths[content]
                if path in outputs.series and inputs.stack is not None:
                    write_derived(
                        volume,
                        inputs.stack,
                        derivation(model, inputs, content, supersedes, tf32=device.tf32),
                        series_options or SeriesOptions(),
                        place[path],
                    )
                elif path is not None:
                    sidecar = provenance.sidecar(
                        model,
                        inputs.facts,
                        content,
                        tf32=device.tf32,
                        mask_sha256=inputs.mask_sha256,
                    )
                    write(volume, place[path], like=inputs.files[0], description=DESCRIPTION)
                    write_json({**sidecar, **(notes or {})}, place[sidecar_path(path)])
        if outputs.preview is not None:
            with clock.stage("preview"):
                write_preview(
                    place[outputs.preview],
                    list(zip(model.recipe.sources, inputs.volumes, strict=True)),
                    (model.recipe.target, volumes["image"]),
                    volumes["uncertainty"],
                    provenance.credit(provenance.model_identity(model)),
                )
        if outputs.report is not None:
            finished = run_report(**facts, seconds=clock.seconds)
            write_json(finished, place[outputs.report])
