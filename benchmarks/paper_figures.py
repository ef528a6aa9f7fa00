"""The charts of benchmarks/paper_tables.py: memory (Fig. 9) and structures (Fig. 6)."""

import csv
from pathlib import Path

from brightness_labels import LABELS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hagan_clinic.evaluation.cost import PAPER_MEMORY_MB


def draw_memory(table: Path, out: Path) -> None:
    """Fig. 9 and Table IX beside each other: MiB by size, and by slab of the largest."""
    rows = list(csv.DictReader(table.open(newline="")))
    ours = {(int(row["size"].split("x")[0]), row["slab"]): float(row["peak_mib"]) for row in rows}
    paper = {(side, str(part)): mb * 1e6 / 2**20 for (side, part), mb in PAPER_MEMORY_MB.items()}
    by_size = [(side, "1/8") for side in (32, 64, 128, 256)]
    by_slab = [(256, part) for part in ("1/8", "1/4", "1/2")]
    figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    titles = ("size, slab 1/8", "slab, 256³")
    axes_of = figure.subplots(1, 2, sharey=True)
    for axes, keys, title in zip(axes_of, (by_size, by_slab), titles, strict=True):
        names = [part if title.startswith("slab") else f"{side}³" for side, part in keys]
        axes.plot(names, [paper[key] for key in keys], "s--", color="#d55e00", label="the paper's")
        axes.plot(names, [ours[key] for key in keys], "o-", color="#0072b2", label="counted here")
        axes.set_title(title)
    axes_of[0].set(ylabel="MiB of a training step, batch 2", ylim=(0, 13500))
    axes_of[0].legend()
    figure.savefig(out)


def draw_dice(table: Path, out: Path) -> None:
    """Fig. 6: Dice of every structure over the subjects, each model beside the baselines."""
    rows = list(csv.DictReader(table.open(newline="")))
    models = list(dict.fromkeys(row["prediction"] for row in rows))
    figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = ("#0072b2", "#999999", "#009e73", "#d55e00")
    for place, (model, colour) in enumerate(zip(models, colours, strict=False)):
        values = [
            [float(r["dice"]) for r in rows if (r["prediction"], r["label"]) == (model, str(label))]
            for label in LABELS
        ]
        where = [label + 0.2 * (place - 1.5) for label in LABELS]
        look = {"patch_artist": True, "medianprops": {"color": "black"}}
        boxes = axes.boxplot(values, positions=where, widths=0.15, **look)
        for box in boxes["boxes"]:
            box.set_facecolor(colour)
        boxes["boxes"][0].set_label(model)
    axes.set_xticks(list(LABELS), list(LABELS.values()))
    axes.set(ylabel="Dice", ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.savefig(out)
