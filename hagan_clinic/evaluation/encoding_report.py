"""The files of `evaluate encoding`: tables, every value, and a panel."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.data.subject import Subject
from hagan_clinic.evaluation.labels import LabelDice
from hagan_clinic.evaluation.latent_regression import PENALTY, Explained
from hagan_clinic.evaluation.reconstruction import METRICS, Encoding, ReconstructionRow
from hagan_clinic.evaluation.tables import Table, as_csv, document, number, p_value
from hagan_clinic.runtime.exploration import pictures

PROTOCOL = (
    "Scan and reconstruction are on [0, 1], as training scales the scan, in the model's box. Data "
    "range 1; PSNR in dB; SSIM in 3D, Gaussian window of sigma 1.5 voxels, 11 wide, its map "
    "averaged over the region, for the brain with both images zeroed outside it; MS-SSIM with the "
    "same window and as many of five scales as MONAI allows for the size. Means over subjects."
)

Writer = str | Callable[[Path], object]
_NAMES = {"psnr": "PSNR", "ssim": "SSIM", "nmse": "NMSE", "ms_ssim": "MS-SSIM"}
_DIGITS = {"psnr": 2, "ssim": 3, "nmse": 4, "ms_ssim": 3}


def file_names(*, dice: bool, regression: bool, panel: bool) -> list[str]:
    """The files that `EncodingReport.writers` will fill."""
    return [
        "encoding.md", "subjects.csv", "tests.csv", "figures.json",
        *(["dice.csv"] if dice else []),
        *(["regression.csv"] if regression else []),
        *(["panel.png"] if panel else []),
    ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class EncodingReport:
    """What was found, as tables and files.

    Attributes:
        found: The evaluation.
        evaluated: The subjects.
        explained: Of measurements by latents; empty where none was asked for.
        warnings: One a line.
        facts: Further entries of the JSON file.
    """

    found: Encoding
    evaluated: Sequence[Subject]
    explained: Sequence[Explained]
    warnings: Sequence[str]
    facts: Mapping[str, Any]

    def tables(self) -> list[Table]:
        """Reconstruction, tests, Dice, regression."""
        result = [self._scores(), self._tests()]
        if self.found.dice:
            result.append(self._dice())
        if self.explained:
            result.append(self._regression())
        return result

    def _scores(self) -> Table:
        cells = [
            [model, region, *(number(means[name], _DIGITS[name]) for name in METRICS)]
            for (model, region), means in self.found.means().items()
        ]
        header = ["model", "region", *(_NAMES[name] for name in METRICS)]
        return Table("Reconstruction", header, cells, f"Means over {len(self.evaluated)} subjects.")

    def _tests(self) -> Table:
        title = "Paired t-tests, one-tailed"
        if len({subject.patient for subject in self.evaluated}) < 2:
            return Table(title, [], [], "None: there is one patient, and a test needs two or more.")
        if len(self.found.models) < 2:
            return Table(title, [], [], "None: there is one model.")
        cells = [
            [
                one.comparison.better, one.comparison.worse, *one.where, _NAMES[one.metric],
                number(one.comparison.difference, _DIGITS[one.metric]),
                number(one.comparison.t, 2), p_value(one.comparison.p), str(one.comparison.n),
            ]
            for one in self.found.tests()
        ]  # fmt: skip
        header = ["better", "worse", "region", "metric", "difference", "t", "p", "n"]
        note = (
            "n is the number of patients. Each test is one-tailed in favour of the better mean: "
            "double p unless the direction was fixed beforehand. p is not corrected for the number "
            "of tests."
        )
        return Table(title, header, cells, note)

    def _dice(self) -> Table:
        labels = sorted({row.label for row in self.found.dice})
        names = [*self.found.models, *self.found.references]
        cells = []
        for label in labels:
            values = [
                [row.dice for row in self.found.dice if (row.prediction, row.label) == key]
                for key in ((name, label) for name in names)
            ]
            cells.append(
                [str(label), *(number(fmean(many), 3) if many else "–" for many in values)]
            )
        note = (
            "Dice of the structures that the segmenter finds in scan and reconstruction, mean over "
            "the subjects that have them in either; a structure in only one of the two counts 0."
        )
        return Table("Structures", ["label", *names], cells, note)

    def _regression(self) -> Table:
        cells = [
            [one.model, one.measure, number(one.r2, 3), str(one.fitted), str(one.held_out)]
            for one in self.explained
        ]
        note = (
            f"Ridge regression (λ = {PENALTY:g}) of the measurement's logarithm on the latents, "
            "fitted on training patients; R² on the held-out ones. At 0 or less the latents "
            "predict no better than the mean."
        )
        header = ["model", "measurement", "R²", "fitted on", "held out"]
        return Table("Measurements explained by latents", header, cells, note)

    def writers(self) -> dict[str, Writer]:
        """Every file by its name: its text, or what writes it."""
        opening = "\n\n".join([PROTOCOL, *(f"**Warning:** {text}" for text in self.warnings)])
        content = {
            "version": __version__,
            **self.facts,
            "protocol": PROTOCOL,
            "warnings": list(self.warnings),
            # JSON knows no NaN and no infinity.
            "means": [
                {
                    "model": model,
                    "region": region,
                    **{name: value for name, value in means.items() if isfinite(value)},
                }
                for (model, region), means in self.found.means().items()
            ],
            "regression": [asdict(one) for one in self.explained],
        }
        header = ["region", "figure", "better", "worse", "difference", "t", "p", "n"]
        return {
            "encoding.md": document("Encoding", opening, self.tables()),
            "subjects.csv": _as_csv(ReconstructionRow, self.found.rows),
            "tests.csv": as_csv(
                header,
                [[*one.where, one.metric, *astuple(one.comparison)] for one in self.found.tests()],
            ),
            "figures.json": json.dumps(content, indent=2) + "\n",
            "dice.csv": _as_csv(LabelDice, self.found.dice),
            "regression.csv": _as_csv(Explained, self.explained),
            "panel.png": self._draw_panel,
        }

    def _draw_panel(self, path: Path) -> None:
        title = "Scans and their reconstructions by each model"
        picture = pictures.draw_montage(self.found.shown, title, ", ".join(self.found.models))
        pictures.save_montage(picture, path, title)


def _as_csv(kind: Any, rows: Sequence[Any]) -> str:
    return as_csv([one.name for one in fields(kind)], [astuple(row) for row in rows])
