"""Samples beside the training volumes that they are most like: tables and a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hagan_clinic.evaluation.memorisation import Nearness
from hagan_clinic.evaluation.tables import Table, number, p_value
from hagan_clinic.evaluation.volume_sets import Resized, VolumeSet
from hagan_clinic.metrics.similarity import SimilarityTo
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.volume import Shape

LARGEST_SIDE = 64
"""Larger volumes are averaged to it before their SSIM with all training volumes is computed."""

COLUMNS = ("volumes", "number", "nearest_training", "distance", "to_held_out")
ALARM = 0.05


def nearness_table(found: Sequence[Nearness], size: str) -> Table:
    """A row a set."""
    rows = [
        [
            one.name, str(len(one.nearest)), number(float(np.median(one.to_training)), 3),
            number(float(np.median(one.to_held_out)), 3), str(one.nearer_than_any),
            p_value(one.p_rank), p_value(one.p_labels),
        ]
        for one in found
    ]  # fmt: skip
    header = ["volumes", "n", "to training", "to held-out", "nearer than any held-out",
              "p (rank)", "p (labels)"]  # fmt: skip
    held = found[0]
    note = (
        f"Median distances of features to the nearest of {held.training} training and of "
        f"{held.held_out} held-out volumes; held-out volumes lie "
        f"{np.median(held.of_held_out):.3f} from the nearest training one. p (rank): of lying no "
        "nearer to training than held-out volumes do; copies and volumes near the mean make it "
        "small. p (labels): of lying no nearer to training than to held-out volumes; only "
        "copies make it small."
    )
    return Table(f"Nearness to the training volumes, {size}", header, rows, note)


def alarms(found: Sequence[Nearness]) -> list[str]:
    """Warnings of sets that look copied."""
    return [
        f"{one.name} lies nearer to training volumes than chance explains (p (rank) "
        f"{p_value(one.p_rank)}, p (labels) {p_value(one.p_labels)}): look at nearest.png"
        for one in found
        if max(one.p_rank, one.p_labels) < ALARM
    ]


def nearest_rows(found: Sequence[Nearness], names: Sequence[str]) -> list[list[object]]:
    """A row a sample, under `COLUMNS`.

    Args:
        found: Of each set.
        names: Of the training volumes.
    """
    return [
        [one.name, place + 1, names[nearest], float(near), float(far)]
        for one in found
        for place, (nearest, near, far) in enumerate(
            zip(one.nearest, one.to_training, one.to_held_out, strict=True)
        )
    ]


def most_similar(samples: VolumeSet, training: VolumeSet, count: int) -> list[tuple[int, float]]:
    """The training volume with the highest SSIM to each of the first samples, and that SSIM."""
    shape = _small(samples.shape)
    rows = Resized(training, shape)
    every = [rows[place] for place in range(len(rows))]
    result = []
    for sample in Resized(samples, shape)[: min(count, len(samples))]:
        to = SimilarityTo(sample)
        values = [float(to.compare(one).map.mean()) for one in every]
        result.append((int(np.argmax(values)), max(values)))
    return result


def draw_nearest(
    sets: Sequence[VolumeSet],
    found: Sequence[Nearness],
    training: VolumeSet,
    names: Sequence[str],
    count: int,
    path: Path,
) -> None:
    """Draw each sample over its nearest training volumes, by features and by SSIM.

    Args:
        sets: Of each model.
        found: Of each set.
        training: The training volumes.
        names: Of these.
        count: Samples of each set.
        path: Of the PNG.
    """
    steps = []
    for samples, near in zip(sets, found, strict=True):
        for place, (alike, value) in enumerate(most_similar(samples, training, count)):
            nearest = int(near.nearest[place])
            shown = (samples[place], training[nearest], training[alike])
            captions = (
                f"{samples.name} {place + 1}",
                f"features {near.to_training[place]:.3f}: {names[nearest]}",
                f"SSIM {value:.3f}: {names[alike]}",
            )
            steps.append(
                pictures.Step(tuple(pictures.middle_planes(one)[0] for one in shown), captions)
            )
    title = "Samples, and the training volumes nearest to them by features and by SSIM"
    pictures.save_montage(pictures.draw_montage(steps, title, "axial planes"), path, title)


def _small(shape: Shape) -> Shape:
    d, h, w = shape
    while max(d, h, w) > LARGEST_SIDE and d % 2 == h % 2 == w % 2 == 0:
        d, h, w = d // 2, h // 2, w // 2
    return d, h, w
