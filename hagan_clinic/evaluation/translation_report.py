"""The files of `evaluate translation`: tables, every value, and pictures."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hagan_clinic import __version__
from hagan_clinic.data.subject import Subject
from hagan_clinic.evaluation import translation_tables
from hagan_clinic.evaluation.labels import LabelDice
from hagan_clinic.evaluation.predictors import Predictor
from hagan_clinic.evaluation.reliability import draw_reliability
from hagan_clinic.evaluation.tables import Table, as_csv, document
from hagan_clinic.evaluation.translation import PROTOCOL, Evaluation, mean_curves, means, tests
from hagan_clinic.evaluation.worst import Worst
from hagan_clinic.metrics.calibration import LEVELS
from hagan_clinic.metrics.regions import BRAIN
from hagan_clinic.runtime.provenance import NOTICE

Writer = str | Callable[[Path], object]


def file_names(
    models: Sequence[Predictor], forms: Sequence[str], *, worst: bool, dice: bool
) -> list[str]:
    """The files that `TranslationReport.writers` will fill."""
    names = ["translation.md", "subjects.csv", "tests.csv", "means.json"]
    if dice:
        names.append("dice.csv")
    if any(model.interval for model in models):
        names += ["calibration.csv", *(_plot(form) for form in forms)]
    return names + [_montage(model.name) for model in models if worst]


def _plot(form: str) -> str:
    return f"reliability_{form.replace(' ', '_')}.png"


def _montage(model: str) -> str:
    return f"worst_{model}.png"


@dataclass(frozen=True, eq=False)
class TranslationReport:
    """What was found, as tables and files.

    Attributes:
        found: The evaluation.
        source: The sequence that the reference baselines use.
        evaluated: The subjects.
        dice: Of label maps; empty where there are none.
        pictures: Of the worst subjects.
        warnings: One a line.
        facts: Further entries of the JSON file.
    """

    found: Evaluation
    source: str
    evaluated: Sequence[Subject]
    dice: Sequence[LabelDice]
    pictures: Worst
    warnings: Sequence[str]
    facts: Mapping[str, Any]

    def tables(self, *, brief: bool = False) -> list[Table]:
        """Scores of each form, calibration, Dice, t-tests; if brief, those in the brain alone."""
        averages = means(self.found.rows)
        result = translation_tables.score_tables(averages)
        if (intervals := translation_tables.interval_table(averages)) is not None:
            result.append(intervals)
        if self.dice:
            result.append(translation_tables.dice_table(self.dice))
        patients = len({subject.patient for subject in self.evaluated})
        tested = [
            one for one in tests(self.found, self.source) if not brief or one.where[1] == BRAIN
        ]
        return [*result, translation_tables.test_table(tested, len(self.evaluated), patients)]

    def writers(self) -> dict[str, Writer]:
        """Every file by its name: its text, or what writes it."""
        content = {
            "version": __version__,
            **self.facts,
            "protocol": PROTOCOL,
            "warnings": list(self.warnings),
            "seconds": self.found.seconds,
            "means": [translation_tables.stated(row) for row in means(self.found.rows)],
        }
        opening = "\n\n".join([PROTOCOL, *(f"**Warning:** {text}" for text in self.warnings)])
        header = [field.name for field in fields(LabelDice)]
        writers: dict[str, Writer] = {
            "translation.md": document("Translation", opening, self.tables()),
            "subjects.csv": translation_tables.subjects_csv(self.found.rows),
            "tests.csv": translation_tables.tests_csv(tests(self.found, self.source)),
            "means.json": json.dumps(content, indent=2) + "\n",
            "dice.csv": as_csv(header, [astuple(row) for row in self.dice]),
            "calibration.csv": self._calibration(),
        }
        for form in dict.fromkeys(row.form for row in self.found.rows):
            writers[_plot(form)] = self._reliability(form)
        for model in self.pictures.models:
            writers[_montage(model)] = self._worst(model)
        return writers

    def _calibration(self) -> str:
        rows = [
            [*key, level, share]
            for key, many in self.found.curves.items()
            for level, share in zip(LEVELS, np.mean(many, axis=0).tolist(), strict=True)
        ]
        return as_csv(["model", "form", "region", "claimed", "held"], rows)

    def _reliability(self, form: str) -> Writer:
        title = f"Intervals on {len(self.evaluated)} subjects, {form}"
        footer = "the 90 % interval is calibrated; the others follow by the Laplace distribution"
        curves = mean_curves(self.found.curves, form)
        return lambda path: draw_reliability(curves, path, title, footer)

    def _worst(self, model: str) -> Writer:
        footer = f"{NOTICE}: made by {model}"
        return lambda path: self.pictures.write(model, path, footer)
