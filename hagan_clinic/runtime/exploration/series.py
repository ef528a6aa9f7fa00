"""A series of synthetic volumes in a folder: NIfTI files, a table, a montage and an animation."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import OutputError
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.runtime.exploration.marking import Figure, Marking
from hagan_clinic.runtime.exploration.measures import Measure
from hagan_clinic.runtime.synthesis import Generator
from hagan_clinic.runtime.synthesis_outputs import (
    OutputFolder,
    synthetic_sidecar,
    write_synthetic,
)

LEGEND = 12
"""Figures of labels under a picture: the largest; the table has all."""


@dataclass(frozen=True, eq=False)
class VolumeSeries:
    """Latents in order, and what is reported of the volumes made from them.

    Attributes:
        name: Of the files: ``walk`` gives ``walk_00.nii.gz``, ``walk.csv``, ``walk.png`` and
            ``walk.gif``.
        title: Over the pictures.
        latents: (steps, latent).
        column: Name of what is known of each step beforehand, such as ``predicted``.
        values: (steps,) of it.
        captions: The same in words, for under the pictures.
        label: Class of all, for a model with classes.
        sources: For every sidecar: what the series was made from.
    """

    name: str
    title: str
    latents: NDArray[np.float32]
    column: str
    values: NDArray[np.float64]
    captions: Sequence[str]
    label: str | None = None
    sources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def volumes(self) -> list[str]:
        """The file name of each step."""
        digits = max(2, len(str(len(self.latents) - 1)))
        return [f"{self.name}_{step:0{digits}}.nii.gz" for step in range(len(self.latents))]


def write_series(
    series: VolumeSeries,
    folder: Path,
    generator: Generator,
    measure: Measure | None = None,
    marking: Marking | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> list[float]:
    """Make the volumes of a series and write all its files, or none.

    Args:
        series: What to make.
        folder: Where to; made if it does not exist.
        generator: What makes volumes.
        measure: What is measured in each and shown in table and pictures.
        marking: What marks each with labels, which are drawn in the pictures; their figures are
            shown in table and pictures.
        overwrite: Replace files that exist.
        progress: Called as each volume is made.

    Returns:
        The measured value of each step; empty without a measure.

    Raises:
        OutputError: As `OutputFolder`, a file cannot be written, or the folder holds steps of a
            longer series of this name.
        InputError: Latents or label do not fit the generator, or the marking fails.
    """
    summary = [f"{series.name}{suffix}" for suffix in (".csv", ".png", ".gif")]
    outputs = OutputFolder(folder, series.volumes, summary, overwrite=overwrite)
    _refuse_longer(series, outputs)
    labels = None if series.label is None else [series.label] * len(series.latents)
    images = generator.decode(series.latents, labels)
    measured: list[float] = []
    figures: list[tuple[Figure, ...]] = []
    steps: list[pictures.Step] = []
    with outputs.writing() as place:
        for number, (path, image) in enumerate(zip(outputs.volumes, images, strict=True)):
            captions = [series.captions[number]]
            entries: dict[str, Any] = {"step": number, series.column: float(series.values[number])}
            if measure is not None:
                measured.append(measure(image))
                entries["measured"] = measured[-1]
                captions.append(
                    f"measured {measure.name}: {measured[-1]:.4g} {measure.unit}".rstrip()
                )
            overlay: tuple[NDArray[np.int64], ...] = ()
            if marking is not None:
                marked = marking(image)
                figures.append(marked.figures)
                entries |= {
                    figure.column: None if math.isnan(figure.value) else figure.value
                    for figure in marked.figures
                }
                overlay = pictures.middle_labels(marked.labels)
            content = f"{generator.image} synthesised from a latent: no patient's image"
            named = {} if measure is None else {"measure": measure.name}
            sidecar = synthetic_sidecar(
                generator.facts, content, sources={**series.sources}, series={**entries, **named}
            )
            write_synthetic(image, generator.grid, path, place, sidecar)
            planes = pictures.middle_planes(image)
            legend = _legend(figures[number]) if figures else ()
            steps.append(pictures.Step(planes, tuple(captions), overlay, legend))
            progress()
        table, montage, animation = (place[path] for path in outputs.others)
        table.write_text(_table(series, measured, figures), "utf-8")
        footer = generator.facts.credit
        sheet = pictures.draw_montage(steps, series.title, footer)
        pictures.save_montage(sheet, montage, series.title)
        frames = pictures.draw_frames(steps, series.title, footer)
        pictures.save_animation(frames, animation, series.title)
    return measured


def _refuse_longer(series: VolumeSeries, outputs: OutputFolder) -> None:
    """Steps that stay from a longer series would look like the end of this one."""
    step = re.compile(rf"{re.escape(series.name)}_\d+\.(nii\.gz|json)")
    there = sorted(outputs.folder.iterdir()) if outputs.folder.is_dir() else []
    for path in there:
        if path not in outputs.paths and step.fullmatch(path.name):
            raise OutputError(
                f"{path}: is of a longer {series.name}; remove it, or choose another folder"
            )


def _legend(figures: Sequence[Figure]) -> tuple[tuple[int, str], ...]:
    """The largest figures, in their order, and a count of the others."""
    largest = sorted(figures, key=lambda figure: -figure.value)[:LEGEND]
    lines = [(figure.label, str(figure)) for figure in figures if figure in largest]
    if len(lines) < len(figures):
        lines.append((lines[-1][0], f"and {len(figures) - len(lines)} more"))
    return tuple(lines)


def _table(
    series: VolumeSeries, measured: Sequence[float], figures: Sequence[tuple[Figure, ...]]
) -> str:
    """A row for each step; a label that a step lacks has 0, what is unknown is left empty."""
    found = {figure.column: figure.label for of_step in figures for figure in of_step}
    columns = sorted(found, key=found.__getitem__)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["step", "file", series.column, *(["measured"] if measured else []), *columns])
    for step, (name, value) in enumerate(zip(series.volumes, series.values, strict=True)):
        cells = [value, *measured[step : step + 1]]
        if figures:
            of_step = {figure.column: figure.value for figure in figures[step]}
            cells += [of_step.get(column, 0) for column in columns]
        texts = ("" if math.isnan(number) else f"{number:.6g}" for number in cells)
        rows.writerow([step, name, *texts])
    return text.getvalue()
