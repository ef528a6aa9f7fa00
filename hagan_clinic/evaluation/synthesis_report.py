"""The files of `evaluate synthesis`: tables, metrics of every fold, maps and a panel."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.evaluation.embedding import METHODS, draw_map, embed
from hagan_clinic.evaluation.synthesis import DISTANCES, Synthesis
from hagan_clinic.evaluation.tables import Table, as_csv, document, number, p_value
from hagan_clinic.evaluation.volume_sets import VolumeSet
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.runtime.provenance import NOTICE

MOST_MAPPED = 512
"""Volumes of a set on a map, as in the paper's Fig. 5."""

Writer = str | Callable[[Path], object]
_NAMES = {"fid": "FID", "mmd": "MMD"}
_DIGITS = {"fid": 3, "mmd": 5}


def file_names(sizes: Sequence[str], *, panel: bool) -> list[str]:
    """The files that `SynthesisReport.writers` will fill."""
    names = ["synthesis.md", "folds.csv", "tests.csv", "map.csv", "figures.json"]
    names += [f"map_{method}_{size}.png" for size in sizes for method in METHODS]
    return names + (["panel.png"] if panel else [])


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
    """

    found: Mapping[str, Synthesis]
    features_of: str
    shown: Sequence[VolumeSet]
    panel: int
    seed: int
    warnings: Sequence[str]
    facts: Mapping[str, Any]

    @property
    def protocol(self) -> str:
        """What the metrics are of."""
        return (
            f"Features are of {self.features_of}. FID and MMD (squared, unbiased, Gaussian kernel "
            "of the real volumes' median distance) shrink or scatter with the number of volumes: "
            "compare at one n alone. Folds hold other volumes each, as many synthetic as real "
            "ones, and the row of real against other real volumes is of folds of the same kind: "
            "what no model can be better than but by chance. MS-SSIM is MONAI's with a uniform "
            "window of 7 and as many of five scales as fit, over pairs within a set: above the "
            "real one's a set is less diverse."
        )

    def tables(self) -> list[Table]:
        """Figures of each size, and the tests."""
        result = []
        for found in self.found.values():
            cells = [
                [
                    row.name, str(row.n), *(
                        number(row.overall[name], _DIGITS[name]) for name in DISTANCES
                    ), *(
                        f"{number(row.mean(name), _DIGITS[name])} ± "
                        f"{number(row.deviation(name), _DIGITS[name])}"
                        for name in DISTANCES
                    ), f"{len(row.folds['fid'])} × {row.fold_size}", number(row.ms_ssim, 3),
                ]
                for row in found.rows
            ]  # fmt: skip
            header = ["volumes", "n", "FID", "MMD", "FID of folds", "MMD of folds", "folds",
                      "MS-SSIM"]  # fmt: skip
            note = f"{found.rows[0].real} real volumes; folds: mean ± standard deviation."
            result.append(Table(f"Synthesis at {found.rows[0].size}", header, cells, note))
        return [*result, self._tests()]

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
        header = ["better", "worse", "size", "figure", "difference", "t", "p", "n"]
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
            "folds.csv": as_csv(["volumes", "size", "figure", "fold", "value", "n"], folds),
            "tests.csv": as_csv(header, tested),
            "figures.json": json.dumps(content, indent=2) + "\n",
            "panel.png": self._draw_panel,
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

    def _map(self, plane: Mapping[str, Any], method: str, size: str) -> Writer:
        title = f"Features of real and synthetic volumes at {size} ({method})"
        footer = f"{NOTICE}; features of {self.features_of.split(':')[0][:60]}"
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
