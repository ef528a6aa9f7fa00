"""What --skip-existing keeps: results that are whole, of these very scans, model and settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.cli.batch import TranslationTask, may_be_series
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.dicom.options import read_options
from hagan_clinic.imageio.dicom.scan import find_stack, stack_sha256
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.imageio.sidecar import read_sidecar
from hagan_clinic.runtime.derived_series import derivation, holds_derived
from hagan_clinic.runtime.outputs import Outputs, is_folder
from hagan_clinic.runtime.provenance import file_sha256
from hagan_clinic.runtime.sources import Inputs

if TYPE_CHECKING:
    from hagan_clinic.cli.one_translation import Settings
    from hagan_clinic.runtime import Translator


def is_done(job: TranslationTask, translator: Translator, settings: Settings) -> bool:
    """Whether all outputs of a job are there, made of these very scans by this very model.

    Raises:
        InputError: A DICOM series cannot be used.
        OutputError: The result is there, but is of something else, and may not be replaced.
    """
    outputs = Outputs(job.output, job.uncertainty, job.preview, job.report)
    is_made = _series_is_of if is_folder(job.output) else _volume_is_of
    done = all(map(_is_there, outputs.paths)) and is_made(job, translator, settings)
    if not (done or settings.overwrite) and _is_there(job.output):
        raise OutputError(
            f"{job.output}: exists, but was not made completely from this scan and mask by this "
            "model with these settings; choose another folder, or replace it with --overwrite"
        )
    return done


def _is_there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _volume_is_of(job: TranslationTask, translator: Translator, settings: Settings) -> bool:
    """Whether a volume's sidecar has the sha256 of every source, of the mask and of the weights."""
    stated = read_sidecar(job.output).values
    made: dict[str, Any] = {"tf32": True} if translator.device.tf32 else {}
    try:
        hashes = [facts["sha256"] for facts in stated["sources"].values()]
        if job.mask is not None:
            made["mask_sha256"] = file_sha256(job.mask)
        scans = [
            stack_sha256(_stack(job, name, settings)) if may_be_series(path) else file_sha256(path)
            for name, path in _sources(job, translator).items()
        ]
    except (AttributeError, KeyError, TypeError, OSError):  # no sidecar of ours, no scan
        return False
    return (stated["model"]["sha256"], sorted(hashes), stated.get("settings", {})) == (
        translator.model.sha256,
        sorted(scans),
        made,
    )


def _series_is_of(job: TranslationTask, translator: Translator, settings: Settings) -> bool:
    """Whether a derived series has the UID that follows from the source, the model and settings."""
    names = list(_sources(job, translator))
    facts = {
        name: {"sha256": stack_sha256(_stack(job, name, settings)), "dicom_files": 1}
        for name in names[1:]
    }
    mask = None if job.mask is None else file_sha256(job.mask)
    inputs = Inputs((), (), {names[0]: {"dicom_files": 1}, **facts}, None, mask)
    described = derivation(translator.model, inputs, "image", tf32=translator.device.tf32)
    options = settings.series_options or read_options()
    return holds_derived(job.output, _stack(job, names[0], settings), described, options)


def _sources(job: TranslationTask, translator: Translator) -> Mapping[str, Path]:
    names = translator.model.recipe.sources
    return job.source if isinstance(job.source, Mapping) else {names[0]: job.source}


def _stack(job: TranslationTask, name: str, settings: Settings) -> Stack:
    path = job.source if isinstance(job.source, Path) else job.source[name]
    series = job.series or settings.series
    return find_stack(path, name, series, allow_contrast=settings.allow_contrast)
