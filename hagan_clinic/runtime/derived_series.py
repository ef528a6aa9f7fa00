"""What a DICOM series written by a translation states about the translation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hagan_clinic import __version__
from hagan_clinic.errors import HaganClinicError, InputError
from hagan_clinic.imageio.dicom.derivation import Content, Derivation
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.imageio.dicom.uids import series_uid
from hagan_clinic.imageio.dicom.writer import write_series
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.provenance import TOOL, licence_in_words
from hagan_clinic.runtime.sources import Inputs
from hagan_clinic.volume import Volume, to_axes_of


def write_derived(
    volume: Volume,
    stack: Stack,
    described: Derivation,
    options: SeriesOptions,
    folder: Path,
) -> None:
    """Write a result as a series in the place of the `stack`.

    Raises:
        InputError: As `write_series`, and for whatever else pydicom finds wrong with the source's
            header: its own message may quote a patient's data.
        OutputError: As `write_series`.
    """
    array = to_axes_of(volume, stack.grid).array
    try:
        write_series(array, stack, described, options, folder)
    except (HaganClinicError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            "patient and study cannot be taken over from the source's header "
            f"({type(error).__name__}); correct it"
        ) from None


def holds_derived(
    folder: Path, stack: Stack, described: Derivation, options: SeriesOptions
) -> bool:
    """Whether a folder holds what `write_derived` would write there, whole, by its UIDs.

    Raises:
        InputError: It cannot be read.
    """
    found = [(one.uid, len(one.instances)) for one in find_series(folder).series]
    return found == [(series_uid(stack, described, options), len(stack.slices))]


def derivation(
    model: ModelFile,
    inputs: Inputs,
    content: Content,
    supersedes: Sequence[str] = (),
    *,
    tf32: bool = False,
) -> Derivation:
    """The facts that identify a derived series.

    Its UIDs follow from these and from the source's: whatever changes the values on purpose is
    among them. What does not is left out, so that the same translation on another device, or in
    slabs of another thickness, is the same series to an archive, though a stored value may differ
    by one.
    """
    low, high = model.recipe.percentiles
    scale = (
        f"0 and 1 are the {low:g} and {high:g} percentiles of the brain in "
        f"{model.recipe.target} scans of the training, 0 also where nothing was synthesised"
    )
    if content == "uncertainty":
        scale = "half-width of the 90 % interval in the image's units, 1 at tissue not synthesised"
    return Derivation(
        target=model.recipe.target,
        content=content,
        software=TOOL,
        version=__version__,
        model=model.card.name,
        model_sha256=model.sha256,
        settings=_settings(inputs, tf32),
        scale=scale,
        licence=licence_in_words(model.card.licence),
        supersedes=tuple(supersedes),
    )


def _settings(inputs: Inputs, tf32: bool) -> str:
    """What the result depends on besides the model and the series, in words."""
    mask = f"brain mask of sha256 {inputs.mask_sha256}" if inputs.mask_sha256 else "no brain mask"
    # The first series is known by its UIDs; a file in its place, and further scans, by hash.
    others = [
        f"{name} of sha256 {facts['sha256']}"
        for number, (name, facts) in enumerate(inputs.facts.items())
        if number > 0 or "dicom_files" not in facts
    ]
    return ", ".join([mask, *others, *(["TensorFloat-32"] if tf32 else [])])
