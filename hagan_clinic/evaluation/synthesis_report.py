"""The files of `evaluate synthesis`: tables, metrics of every fold, maps and a panel."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from hagan_clinic import __version__
from hagan_clinic.evaluation.embedding import METHODS, draw_map, embed
from hagan_clinic.evaluation.synthesis import DISTANCES, SetFigures, Synthesis
from hagan_clinic.evaluation.tables import Table, as_csv, document, number, p_value
from hagan_clinic.evaluation.volume_sets import VolumeSet
from hagan_clinic.metrics.diversity import NEAREST
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.runtime.provenance import NOTICE

MOST_MAPPED = 512
"""Volumes of a set on a map, as in the paper's Fig. 5."""

Writer = str | Callable[[Path], object]
_NAMES = {"fid": "FID", "mmd": "MMD"}
_DIGITS = {"fid": 3, "mmd": 5, "coverage": 3}
_RANGE = (0.025, 0.975)
_DISTANCE_COLUMNS = ["volumes", "size", "figure", "n", "n_real", "value", "low", "high", "n_half",
                     "of_halves", "of_halves_low", "of_halves_high"]  # fmt: skip


def file_names(sizes: Sequence[str], *, panel: bool, further: Sequence[str] = ()) -> list[str]:
    """The files that `SynthesisReport.writers` will fill."""
    names = ["synthesis.md", "distances.csv", "folds.csv", "tests.csv", "map.csv", "figures.json"]
    names += [f"map_{method}_{size}.png" for size in sizes for method in METHODS]
    return [*names, *(["panel.png"] if panel else []), *further]


@dataclass(frozen=True, eq=False)
class SynthesisReport:
    """What was found, as tables and files.

    Attributes:
        found: By size, as in a file's name.
        features_of: Which network the features are of.
        shown: Real and synthetic volumes for the panel, at the native size.
        panel: How many of each are shown.
        seed: Of the maps.
        warnings: One a line.
        facts: Further entries of the JSON file.
        further_tables: What was found besides distances of features.
        further_files: Files of that, by name.
    """

    found: Mapping[str, Synthesis]
    features_of: str
    shown: Sequence[VolumeSet]
    panel: int
    seed: int
    warnings: Sequence[str]
    facts: Mapping[str, Any]
    further_tables: Sequence[Table] = ()
    further_files: Mapping[str, Writer] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """What the metrics are of."""
        return (
            f"Features are of {self.features_of}. FID is larger the fewer volumes there are, and "
            "MMD (squared, unbiased, Gaussian kernel of the real volumes' median distance) "
            "scatters more: compare values at the same n only. Intervals are 95 % by bootstrap of "
            "volumes and of patients, at the numbers beside them. The floor compares as many real "
            "volumes with other real ones, for random halves of the patients: a model can be below "
            "it only by chance. Coverage (Naeem et al. 2020, eq. 8) is the share of real volumes "
            f"that have a synthetic one as near as their {NEAREST}th nearest real one: where it is "
            "below its floor, kinds of real volumes are missing. Each fold has other volumes, as "
            "many synthetic as real ones. MS-SSIM is MONAI's with a uniform window of 7 and as "
            "many of five scales as fit, over pairs within a set: a set with a higher value than "
            "the real volumes is less diverse."
        )

    def tables(self) -> list[Table]:
        """Figures of each size, and the tests."""
        result = []
        for found in self.found.values():
            result += [_over_all(found), _at_one_number(found), _over_folds(found)]
        return [*result, self._tests(), *self.further_tables]

    def _tests(self) -> Table:
        title = "Paired t-tests over folds, one-tailed"
        cells = [
            [
                one.better, one.worse, found.rows[0].size, _NAMES[name],
                number(one.difference, _DIGITS[name]), number(one.t, 2), p_value(one.p), str(one.n),
            ]
            for found in self.found.values()
            for name, one in found.tests
        ]  # fmt: skip
        if not cells:
            return Table(title, [], [], "None: there is one model.")
        header = ["better", "worse", "size", "metric", "difference", "t", "p", "n"]
        note = "n is the number of folds; p is not corrected for the number of tests."
        return Table(title, header, cells, note)

    def writers(self) -> dict[str, Writer]:
        """Every file by its name: its text, or what writes it."""
        opening = "\n\n".join([self.protocol, *(f"**Warning:** {text}" for text in self.warnings)])
        folds = [
            [row.name, row.size, name, fold, value, row.fold_size]
            for found in self.found.values()
            for row in found.rows
            for name, values in row.folds.items()
            for fold, value in enumerate(values, 1)
        ]
        tested = [
            [found.rows[0].size, name, *asdict(one).values()]
            for found in self.found.values()
            for name, one in found.tests
        ]
        content = {
            "version": __version__,
            **self.facts,
            "features": self.features_of,
            "warnings": list(self.warnings),
            "figures": [
                # JSON has no NaN.
                asdict(row) | {"overall": {k: v for k, v in row.overall.items() if v == v}}
                for found in self.found.values()
                for row in found.rows
            ],
        }
        header = ["size", "figure", "better", "worse", "difference", "t", "p", "n"]
        writers: dict[str, Writer] = {
            "synthesis.md": document("Synthesis", opening, self.tables()),
            "distances.csv": as_csv(_DISTANCE_COLUMNS, self._distances()),
            "folds.csv": as_csv(["volumes", "size", "figure", "fold", "value", "n"], folds),
            "tests.csv": as_csv(header, tested),
            "figures.json": json.dumps(content, indent=2) + "\n",
            "panel.png": self._draw_panel,
            **self.further_files,
        }
        coordinates: list[list[object]] = []
        for size, found in self.found.items():
            groups = {name: rows[:MOST_MAPPED] for name, rows in found.features.items()}
            for method in METHODS:
                plane = embed(groups, method, self.seed)
                writers[f"map_{method}_{size}.png"] = self._map(plane, method, size)
                coordinates += [
                    [size, method, name, number, float(x), float(y)]
                    for name, points in plane.items()
                    for number, (x, y) in enumerate(points, 1)
                ]
        header = ["size", "method", "volumes", "number", "x", "y"]
        writers["map.csv"] = as_csv(header, coordinates)
        return writers

    def _distances(self) -> list[list[object]]:
        """A row a set and distance, under `_DISTANCE_COLUMNS`."""
        nothing = float("nan")
        return [
            [
                row.name, row.size, name, row.n, row.real, row.overall.get(name, nothing),
                *row.intervals.get(name, (nothing, nothing)), row.half, fmean(row.halves[name]),
                *np.quantile(row.halves[name], _RANGE).tolist(),
            ]
            for found in self.found.values()
            for row in found.rows
            for name in row.halves
        ]  # fmt: skip

    def _map(self, plane: Mapping[str, Any], method: str, size: str) -> Writer:
        title = f"Features of real and synthetic volumes at {size} ({method})"
        network, *_ = re.split(r" \(|, sha256", self.features_of)
        footer = f"{NOTICE}; features of {network}"
        return lambda path: draw_map(plane, path, title, footer)

    def _draw_panel(self, path: Path) -> None:
        steps = [
            pictures.Step(pictures.middle_planes(one[number]), (one.name, f"{number + 1}"))
            for one in self.shown
            for number in range(min(self.panel, len(one)))
        ]
        title = "Real volumes, and what each model makes"
        picture = pictures.draw_montage(steps, title, ", ".join(one.name for one in self.shown))
        pictures.save_montage(picture, path, title)


def _over_all(found: Synthesis) -> Table:
    """Each set against all real volumes."""
    cells = [
        [
            row.name, str(row.n), str(row.real),
            *(_with_interval(row, name) for name in DISTANCES), number(row.ms_ssim, 3),
        ]
        for row in found.rows
    ]  # fmt: skip
    header = ["volumes", "n", "n real", "FID (95 %)", "MMD (95 %)", "MS-SSIM"]
    return Table(f"Synthesis at {found.rows[0].size}", header, cells)


def _at_one_number(found: Synthesis) -> Table:
    """Each set and the floor, of equally many volumes."""
    floor = found.rows[0]
    floor_fid = fmean(floor.halves["fid"])
    cells = [
        [
            row.name, *(_mean_and_range(row.halves[name], _DIGITS[name]) for name in DISTANCES),
            number(fmean(row.halves["fid"]) / floor_fid if floor_fid else float("nan"), 2),
            _mean_and_range(row.halves["coverage"], 3) if "coverage" in row.halves else "–",
        ]
        for row in found.rows
    ]  # fmt: skip
    header = ["volumes", "FID", "MMD", "FID / floor", "coverage"]
    note = (
        f"Mean (2.5 to 97.5 percentile) of {len(floor.halves['fid'])} random halves of the real "
        "patients; the first row is the floor."
    )
    return Table(f"At one number, {floor.half} of either kind, {floor.size}", header, cells, note)


def _over_folds(found: Synthesis) -> Table:
    """Each set in folds, which the tests are of."""
    cells = [
        [
            row.name, f"{len(row.folds['fid'])} × {row.fold_size}", *(
                f"{number(row.mean(name), _DIGITS[name])} ± "
                f"{number(row.deviation(name), _DIGITS[name])}"
                for name in DISTANCES
            ),
        ]
        for row in found.rows
    ]  # fmt: skip
    header = ["volumes", "folds", "FID of folds", "MMD of folds"]
    note = "Mean ± standard deviation."
    return Table(f"In folds of few volumes, {found.rows[0].size}", header, cells, note)


def _with_interval(row: SetFigures, metric: str) -> str:
    digits = _DIGITS[metric]
    if metric not in row.intervals:
        return number(row.overall[metric], digits)
    low, high = row.intervals[metric]
    return f"{row.overall[metric]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _mean_and_range(values: Sequence[float], digits: int) -> str:
    low, high = np.quantile(values, _RANGE)
    return f"{fmean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
