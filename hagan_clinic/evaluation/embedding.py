"""Real and synthetic volumes in a plane: an embedding of their features, with ellipses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse as Patch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import MDS, TSNE

from hagan_clinic.errors import InputError

METHODS = ("mds", "pca", "tsne")
FEWEST = 4
"""Volumes of each kind: three points always lie on an ellipse."""

COVERED = 0.95

# Distinguishable without colour vision.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")


@dataclass(frozen=True)
class Ellipse:
    """The region that holds 95 % of a normal distribution with the points' mean and covariance.

    It reaches 2.45 standard deviations along each axis, and is no confidence region of the mean.

    Attributes:
        centre: (x, y).
        width: Full length of the longer axis.
        height: Full length of the shorter axis.
        degrees: Of the longer axis, counter-clockwise from x.
    """

    centre: tuple[float, float]
    width: float
    height: float
    degrees: float


def embed(
    groups: Mapping[str, NDArray[np.floating]], method: str, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Features of all groups in one plane.

    Args:
        groups: Name -> (volumes, features).
        method: ``mds`` (distances kept as far as can be: metric multidimensional scaling), ``pca``
            (the two directions of most variance) or ``tsne`` (neighbours kept, distances not).
        seed: Of the starts of ``mds`` and ``tsne``.

    Returns:
        Name -> (volumes, 2).

    Raises:
        InputError: An unknown method, or a group with too few volumes.
    """
    if method not in METHODS:
        raise InputError(f"the method is {method!r}: expected one of {', '.join(METHODS)}")
    check_numbers({name: len(features) for name, features in groups.items()})
    every = np.concatenate(list(groups.values())).astype(np.float64)
    if method == "mds":
        scaling = MDS(2, n_init=4, init="random", normalized_stress=False, random_state=seed)
    elif method == "tsne":
        perplexity = min(30.0, (len(every) - 1) / 3)
        scaling = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    else:
        scaling = PCA(2, svd_solver="full")
    plane = scaling.fit_transform(every)
    ends = np.cumsum([len(features) for features in groups.values()])
    return dict(zip(groups, np.split(plane, ends[:-1]), strict=True))


def check_numbers(groups: Mapping[str, int]) -> None:
    """Refuse groups, name -> volumes, that are too small for an ellipse.

    Raises:
        InputError: A group has too few volumes.
    """
    for name, count in groups.items():
        if count < FEWEST:
            raise InputError(f"found {count} {name} volumes: expected {FEWEST} or more")


def ellipse(points: NDArray[np.float64]) -> Ellipse:
    """The 95 % covariance ellipse of points (N, 2)."""
    # The squared distance of a normal distribution in the plane is exponential with mean 2.
    squared = -2 * np.log(1 - COVERED)
    variances, axes = np.linalg.eigh(np.cov(points.T))
    height, width = 2 * np.sqrt(squared * np.maximum(variances, 0))
    x, y = axes[:, 1]
    centre = points.mean(0)
    degrees = float(np.degrees(np.arctan2(y, x))) % 180
    return Ellipse((float(centre[0]), float(centre[1])), float(width), float(height), degrees)


def draw_map(plane: Mapping[str, NDArray[np.float64]], path: Path, title: str, footer: str) -> None:
    """Draw the groups with their ellipses and write them as PNG.

    Args:
        plane: Name -> (volumes, 2), from `embed`; at most seven groups.
        path: The file, or a temporary one.
        title: Over the axes.
        footer: Under them.
    """
    figure = Figure(figsize=(6.4, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (name, points), colour, marker in zip(plane.items(), _COLOURS, _MARKERS, strict=False):
        x, y = points.T
        axes.scatter(x, y, s=22, color=colour, marker=marker, alpha=0.8, label=name)
        found = ellipse(points)
        axes.add_patch(
            Patch(
                found.centre, found.width, found.height, angle=found.degrees,
                fill=False, color=colour, linewidth=1.5,
            )
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(title=title, xlabel="dimension 1", ylabel="dimension 2")
    axes.legend(title=f"covariance ellipses, {COVERED:.0%}")
    figure.supxlabel(footer, fontsize=8, color="0.4")
    figure.savefig(path, format="png", metadata={"Title": footer})
