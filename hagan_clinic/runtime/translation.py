"""Translate: scans in, a synthetic volume on their exact grid out, with its own error bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hagan_clinic.errors import DeviceError, InputError, OutputError
from hagan_clinic.imageio.dicom.options import SeriesOptions, read_options
from hagan_clinic.imageio.dicom.scan import is_series
from hagan_clinic.intensity import from_unit
from hagan_clinic.preparation import Prepared, missed_on_source, prepare, restore
from hagan_clinic.runtime import memory
from hagan_clinic.runtime.footprint import footprint
from hagan_clinic.runtime.library import DEFAULT_MODEL, find_model
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.network import Float32, Network
from hagan_clinic.runtime.outputs import Outputs
from hagan_clinic.runtime.plausibility import (
    box_warnings,
    check_field,
    grid_warnings,
    image_warnings,
    slice_warnings,
)
from hagan_clinic.runtime.providers import choose_device, gpu_memory
from hagan_clinic.runtime.report import Stopwatch, run_report
from hagan_clinic.runtime.result import Translation
from hagan_clinic.runtime.slabs import plan_slabs
from hagan_clinic.runtime.sources import Inputs, Source, by_name, files_of, read_inputs
from hagan_clinic.runtime.translation_outputs import write_translation

Progress = Callable[[str, float], None]
"""Called with the stage that runs, and the share of the work done before it or within it."""

# The system and other programs need memory too.
_SHARE_OF_AVAILABLE = 0.7
_GPU_FALLBACK = 4 * 2**30  # where the driver does not tell the GPU's memory


class Translator:
    """A model on a device, for any number of translations.

    Args:
        model: Name of a bundled model, or path of a `.onnx` file.
        device: `auto`, `cpu`, `cuda` or `tensorrt`.
        max_memory: Limit on what the translation adds to the process, in bytes or as `1GiB`; by
            default what is available, with a reserve. It holds for reading, preparing, network,
            restoring and writing alike. On a GPU it limits what the network takes there, and the
            process's own memory has no limit.
        threads: CPU threads; all usable cores if not given.
        tf32: Let CUDA use TensorFloat-32: quicker, and less exact.

    Raises:
        InputError: `max_memory` or `threads` is not a positive amount.
        ModelError: The model is missing or was found wanting (see `load_model`).
        DeviceError: The device cannot be had.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        device: str = "auto",
        *,
        max_memory: str | int | None = None,
        threads: int | None = None,
        tf32: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"{threads} threads, expected 1 or more")
        self._max_memory = None if max_memory is None else memory.parse_size(max_memory)
        self._bare = memory.resident()
        loading = Stopwatch()
        with loading.stage("load"):
            self.model = load_model(find_model(model))
            self.device = choose_device(device, tf32=tf32)
        self._loading = loading.seconds
        self._network = Network(self.model, self.device, threads)

    def translate(
        self,
        source: Source | Mapping[str, Source],
        output: str | Path | None = None,
        *,
        mask: Source | None = None,
        uncertainty: str | Path | None = None,
        preview: str | Path | None = None,
        report: str | Path | None = None,
        series: str | None = None,
        dicom_like: str | Path | None = None,
        series_options: SeriesOptions | None = None,
        supersedes: Sequence[str] = (),
        notes: Mapping[str, Any] | None = None,
        allow_contrast: bool = False,
        overwrite: bool = False,
        progress: Progress = lambda stage, share: None,
    ) -> Translation:
        """Translate one subject. See the function `translate` for arguments and errors.

        Besides, `supersedes` has the Series Instance UIDs of earlier derived series that this one
        takes the place of, and says so; `notes` is what the sidecars say besides.
        """
        clock, self._loading = Stopwatch(self._loading), {}
        outputs = Outputs(*map(_as_path, (output, uncertainty, preview, report)))
        named = by_name(source, self.model.recipe)
        like = _as_path(dicom_like)
        read = files_of((*named.values(), mask, like))
        places = [path for path in files_of(named.values()) if is_series(path)]
        outputs.check(read, overwrite=overwrite, from_series=like is not None or bool(places))
        if like is not None and not outputs.series:
            raise OutputError(
                "--dicom-like is for a DICOM series as an output, and none is a folder; "
                "give -o FOLDER, or leave it out"
            )
        if outputs.series and series_options is None:
            series_options = read_options()

        progress("reading", 0.0)
        with clock.stage("read"):
            inputs = read_inputs(
                named,
                mask,
                places=places,
                allow_contrast=allow_contrast,
                series=series,
                dicom_like=like,
            )
        for name, volume in zip(named, inputs.volumes, strict=True):
            check_field(name, volume.grid)
        beside = footprint(inputs.volumes[0].grid, self.model.recipe.spacing, len(inputs.volumes))
        self._check_room(beside.preparing)
        progress("preparing", 0.05)
        with clock.stage("prepare"):
            prepared = prepare(inputs.volumes, self.model.recipe, mask=inputs.mask)
        with clock.stage("check"):
            warnings = self._warnings(inputs, prepared, allow_contrast)
        budget = self._budget()
        shape = _shape(prepared.array)
        needs = self._network.memory
        if self.device.name == "cpu":
            needs = replace(needs, after=beside.restoring)
        plan = plan_slabs(shape, self.model.recipe.halo, needs, budget, self._network.step)
        progress("translating", 0.15)
        with clock.stage("network"):
            target, scale = self._network.run(
                prepared.array, plan, lambda share: progress("translating", 0.15 + 0.65 * share)
            )
        memory.give_back()
        progress("restoring", 0.8)
        with clock.stage("restore"):
            volume = restore(from_unit(target, out=target), prepared, fill=0.0)
            half_width = restore(self._half_width(scale), prepared, fill=0.0)
            missed = missed_on_source(prepared)
            if missed is not None:
                # Of tissue that the network did not see nothing is known.
                half_width.array[missed] = 1
        facts: dict[str, Any] = {
            "model": self.model,
            "device": self.device,
            "providers": self._network.providers,
            "sources": inputs.facts,
            "network_shape": shape,
            "plan": plan,
            "budget": budget,
            "bare": self._bare,
            "warnings": warnings,
        }
        progress("writing", 0.9)
        if outputs.paths:
            write_translation(
                outputs,
                {"image": volume, "uncertainty": half_width},
                inputs,
                facts,
                clock,
                series_options=series_options,
                supersedes=supersedes,
                notes=notes,
                overwrite=overwrite,
            )
        progress("done", 1.0)
        report_of_run = run_report(**facts, seconds=clock.seconds)
        scans = dict(zip(self.model.recipe.sources, inputs.volumes, strict=True))
        return Translation(volume, half_width, report_of_run, scans, self.model.recipe.target)

    def _warnings(self, inputs: Inputs, prepared: Prepared, allow_contrast: bool) -> list[str]:
        warnings = list(inputs.doubts)
        for name, volume in zip(self.model.recipe.sources, inputs.volumes, strict=True):
            warnings += grid_warnings(name, volume.grid)
            warnings += slice_warnings(name, volume)
            warnings += image_warnings(name, volume, allow_contrast=allow_contrast)
        return warnings + box_warnings(prepared, masked=inputs.mask is not None)

    def _check_room(self, size: int) -> None:
        """Refuse a `max_memory` that the preparation would not keep to."""
        if self.device.name != "cpu" or self._max_memory is None:
            return
        import SimpleITK  # noqa: F401  (imported somewhere below; what it takes counts as held)

        if size > self._budget():
            raise DeviceError(
                f"{memory.size_text(max(self._budget(), 0))} of memory are left to prepare the "
                f"scan, which needs {memory.size_text(size)}: raise --max-memory by "
                f"{memory.size_text(size - self._budget())} or more"
            )

    def _budget(self) -> int:
        """Bytes that may be taken now: by the process on the CPU, else on the GPU."""
        if self.device.name != "cpu":
            budget = int(_SHARE_OF_AVAILABLE * (gpu_memory() or _GPU_FALLBACK))
            return budget if self._max_memory is None else min(budget, self._max_memory)
        if self._max_memory is None:
            return int(_SHARE_OF_AVAILABLE * memory.available())
        return self._max_memory - max(memory.resident() - self._bare, 0)

    def _half_width(self, scale: Float32) -> Float32:
        """Laplace scale in units of [-1, 1] to the interval's half-width in units of [0, 1]."""
        factor = np.float32(self.model.recipe.interval_factor / 2)
        half_width: Float32 = np.multiply(scale, factor, out=scale)
        return np.clip(half_width, 0, 1, out=half_width)


def translate(
    source: Source | Mapping[str, Source],
    output: str | Path | None = None,
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    mask: Source | None = None,
    uncertainty: str | Path | None = None,
    preview: str | Path | None = None,
    report: str | Path | None = None,
    series: str | None = None,
    dicom_like: str | Path | None = None,
    series_options: SeriesOptions | None = None,
    max_memory: str | int | None = None,
    threads: int | None = None,
    tf32: bool = False,
    allow_contrast: bool = False,
    overwrite: bool = False,
) -> Translation:
    """Translate one subject's scan(s) into the model's target sequence.

    The result lies on the grid of the (first) source: same shape, same affine. Files are written
    all or none, and never over a source.

    Args:
        source: A file, a place that holds a DICOM series (a folder, a file, a DICOMDIR or a zip)
            or a volume in scanner units; for models of several sequences a mapping from their
            names. Only a file or series can be found to be contrast-enhanced or synthetic: who
            gives a volume vouches for it.
        output: Where to write the synthesised volume: a file, with a JSON sidecar beside it, or,
            where there is a series to derive from, a folder for a DICOM series. Nothing is
            written without it.
        model: Name of a bundled model, or path of a `.onnx` file.
        device: `auto` (a GPU where one runs, else the CPU), `cpu`, `cuda` or `tensorrt`.
        mask: Brain mask on the source's grid; the intensity window is then taken in it, and the
            part of the scan that the model sees is centred on it.
        uncertainty: Where to write the half-width of the 90 % interval, likewise.
        preview: Where to write a picture (`.png`).
        report: Where to write facts of the run (`.json`).
        series: Series Instance UID of the series to take, where the rules would take another or
            none.
        dicom_like: The DICOM series that a scan in another format was converted from: a derived
            series takes its patient, study and place.
        series_options: What a site chooses about the series it writes; by default what its
            configuration file says (see `imageio.dicom.options.read_options`).
        max_memory: Limit on the memory added to the process (on a GPU: taken there), in bytes or
            as `1GiB`; a volume that does not fit is translated in slabs, with the same result to
            1e-4.
        threads: CPU threads; all usable cores if not given.
        tf32: Let CUDA use TensorFloat-32: quicker, and less exact.
        allow_contrast: Take a scan that looks contrast-enhanced.
        overwrite: Replace outputs that exist.

    Returns:
        Volume, uncertainty and report.

    Raises:
        InputError: The source cannot be read, is no single 3D scan, is a file of a
            contrast-enhanced or synthetic image, has no contrast, or does not fit the model's
            sequences; no series can be used, or several could; or the mask is empty.
        ModelError: The model is missing, damaged, or fails.
        DeviceError: The device cannot be had, memory does not suffice for the thinnest slab, or
            two packages of ONNX Runtime are installed.
        OutputError: An output exists, is the source, or cannot be written.

    Example:
        >>> import hagan_clinic
        >>> result = hagan_clinic.translate("t1.nii.gz", "flair.nii.gz")  # doctest: +SKIP
        >>> result.volume.shape  # doctest: +SKIP
        (240, 240, 155)
    """
    translator = Translator(model, device, max_memory=max_memory, threads=threads, tf32=tf32)
    return translator.translate(
        source,
        output,
        mask=mask,
        uncertainty=uncertainty,
        preview=preview,
        report=report,
        series=series,
        dicom_like=dicom_like,
        series_options=series_options,
        allow_contrast=allow_contrast,
        overwrite=overwrite,
    )


def _as_path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _shape(array: Float32) -> tuple[int, int, int]:
    _, depth, height, width = array.shape
    return depth, height, width
