"""A reliability plot: how many voxels the intervals hold, against how many they claim to."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hagan_clinic.metrics.calibration import LEVELS

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES = {"brain": "-", "tumour": "--", "healthy": ":"}


def draw_reliability(
    curves: Mapping[tuple[str, str], Sequence[float]], path: Path, title: str, footer: str
) -> None:
    """Draw a line a model and region and write it as PNG.

    Args:
        curves: (model, region) -> share held at each of `LEVELS`, mean over subjects.
        path: The file, or a temporary one.
        title: Over the axes.
        footer: Under them.
    """
    figure = Figure(figsize=(6.4, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="0.7", linewidth=1, label="as claimed")
    models = list(dict.fromkeys(model for model, _ in curves))
    for (model, region), held in curves.items():
        colour = _COLOURS[models.index(model) % len(_COLOURS)]
        axes.plot(
            LEVELS, held, _LINES.get(region, "-."), color=colour, marker="o", markersize=3,
            label=f"{model}, {region}",
        )  # fmt: skip
    axes.set(
        title=title, xlabel="claimed share of voxels", ylabel="share held by the interval",
        xlim=(0, 1), ylim=(0, 1), aspect="equal",
    )  # fmt: skip
    axes.legend(loc="upper left", fontsize=8)
    figure.supxlabel(footer, fontsize=8, color="0.4")
    figure.savefig(path, format="png", metadata={"Title": f"{title}. {footer}"})
