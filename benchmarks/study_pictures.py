"""Pictures of a study: translations, samples, and the curve over minutes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hagan_clinic.imageio import read
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.volume import to_canonical

SAMPLE = Path("examples/open_ms_patient07/open_ms_patient07_t1.nii.gz")
"""Drawn on the page: patients of a cohort are not."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "0.4")


def draw_translations(models: Sequence[str], made: Path, images: Path) -> None:
    """The shipped T1, what each model made of it, and the real FLAIR."""
    steps = [pictured(SAMPLE, "T1", real=True)]
    steps += [pictured(made / f"{name}.nii.gz", name) for name in models]
    flair = SAMPLE.with_name(SAMPLE.name.replace("_t1", "_flair"))
    steps.append(pictured(flair, "FLAIR", real=True))
    title = "The shipped T1, the FLAIR that each model makes of it, and the real one"
    footer = "open_ms_data, patient 07 (Lesjak et al. 2018), CC BY 4.0; weights CC BY-NC-SA 4.0"
    picture = pictures.draw_montage(steps, title, footer)
    pictures.save_montage(picture, images / "results_translation.png", title)


def draw_samples(models: Sequence[str], made: Path, images: Path) -> None:
    """The first two samples of each model."""
    steps = [
        pictured(sample, f"{name} {number}")
        for name in models
        for number, sample in enumerate(sorted((made / name).glob("*.nii.gz"))[:2], 1)
    ]
    title = "Samples of every model from the same z"
    picture = pictures.draw_montage(steps, title, "weights CC BY-NC-SA 4.0")
    pictures.save_montage(picture, images / "results_samples.png", title)


def pictured(path: Path, caption: str, *, real: bool = False) -> pictures.Step:
    """The middle planes of a volume; a real one by its own 0.5 and 99.5 percentiles."""
    array = to_canonical(read(path)).array
    if real:
        low, high = np.percentile(array[array > 0], (0.5, 99.5))
        array = (array - low) / (high - low)
    return pictures.Step(pictures.middle_planes(array), ("real" if real else "synthetic", caption))


def draw_curves(curves: Mapping[str, Mapping[str, Mapping[float, float]]], images: Path) -> None:
    """A panel a metric, a line a model; what needs no training is dashed.

    Args:
        curves: Metric -> model -> minutes -> value.
        images: Folder of the page's pictures.
    """
    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves))
    every = sorted({m for of in curves.values() for line in of.values() for m in line})
    for axes, (metric, lines) in zip(panels, curves.items(), strict=True):
        trained = [name for name in lines if not name.startswith("T1")]
        for name, line in lines.items():
            dashed = name not in trained
            colour = "0.6" if dashed else COLOURS[trained.index(name) % len(COLOURS)]
            axes.plot(
                list(line), list(line.values()), "--" if dashed else "-", color=colour,
                marker="" if dashed else "o", markersize=4, label=name,
            )  # fmt: skip
        axes.set(xlabel="minutes of training", ylabel=metric.upper(), xscale="log")
        axes.set_xticks(every, [f"{minutes:g}" for minutes in every], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.savefig(images / "results_curve.png", metadata={"Title": "Metrics against minutes"})
