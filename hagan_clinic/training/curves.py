"""The curves of a run, losses and calibration metrics, as a picture drawn from ``metrics.csv``."""

import csv
import math
from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import atomic_path

CURVES = "curves.png"
PANELS = {"train": "training", "calibration": "calibration patients"}

Points = list[tuple[int, float]]


def read_metrics(path: Path) -> dict[str, Points]:
    """Name -> (step, value) of every figure that a run has logged.

    Raises:
        InputError: no such file, or another one.
    """
    metrics: dict[str, Points] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                metrics[row["name"]].append((int(row["step"]), float(row["value"])))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a metrics.csv of a run: {error}") from error
    return dict(metrics)


def draw_curves(run: Path) -> Path:
    """Draw ``curves.png`` in a run folder; a curve that is not finite or has one point is left out.

    Raises:
        InputError: the run has no metrics.
        OutputError: the picture cannot be written.
    """
    metrics = read_metrics(run / "metrics.csv")
    # Not pyplot, which keeps every figure and wants a display.
    picture = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(picture)
    for axes, (prefix, title) in zip(picture.subplots(1, 2), PANELS.items(), strict=True):
        names = [name for name in metrics if name.startswith(f"{prefix}/")]
        _panel(axes, title, {name.partition("/")[2]: metrics[name] for name in names})
    with atomic_path(run / CURVES) as beside:
        picture.savefig(beside, format="png", dpi=110)
    return run / CURVES


def _panel(axes: Axes, title: str, curves: dict[str, Points]) -> None:
    """Curves of very different size share a panel, so each is drawn relative to its largest."""
    for name, points in curves.items():
        finite = [(step, value) for step, value in points if math.isfinite(value)]
        largest = max((abs(value) for _, value in finite), default=0.0)
        if len(finite) < 2 or largest == 0:
            continue
        steps, values = zip(*finite, strict=True)
        relative = [value / largest for value in values]
        axes.plot(steps, relative, label=f"{name} (of {largest:.3g})", linewidth=1.2)
    axes.set(title=title, xlabel="step", ylabel="part of its largest value")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")
