"""The tables of `evaluate translation`."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from math import isfinite
from statistics import fmean

from hagan_clinic.evaluation.comparison import Tested
from hagan_clinic.evaluation.labels import LabelDice
from hagan_clinic.evaluation.tables import Table, as_csv, number, p_value
from hagan_clinic.evaluation.translation import TranslationRow
from hagan_clinic.metrics.regions import BRAIN

_DIGITS = {"psnr": 2, "ssim": 3, "nmse": 3, "ms_ssim": 3}
_NAMES = {"psnr": "PSNR", "ssim": "SSIM", "nmse": "NMSE", "ms_ssim": "MS-SSIM"}


def score_tables(mean_rows: Sequence[TranslationRow]) -> list[Table]:
    """A table of scores for each form."""
    by_key = {(row.form, row.prediction, row.region): row for row in mean_rows}
    regions = list(dict.fromkeys(row.region for row in mean_rows))
    tables = []
    for form in dict.fromkeys(row.form for row in mean_rows):
        names = list(dict.fromkeys(row.prediction for row in mean_rows if row.form == form))
        here = [region for region in regions if (form, names[0], region) in by_key]
        counts = ", ".join(f"{region}: {by_key[form, names[0], region].subject}" for region in here)
        cells = [
            [name, *(_scores(by_key[form, name, region]) for region in here)] for name in names
        ]
        note = f"Each cell PSNR / SSIM / NMSE, and MS-SSIM where it is defined; {counts}."
        tables.append(Table(form.capitalize(), ["prediction", *here], cells, note))
    return tables


def _scores(row: TranslationRow) -> str:
    names = [name for name in _DIGITS if name != "ms_ssim" or row.ms_ssim == row.ms_ssim]
    return " / ".join(number(getattr(row, name), _DIGITS[name]) for name in names)


def interval_table(mean_rows: Sequence[TranslationRow]) -> Table | None:
    """How the stated 90 % intervals cover; None where no model states any."""
    stated = [row for row in mean_rows if row.coverage == row.coverage]
    if not stated:
        return None
    cells = [
        [
            row.prediction, row.form, row.region, f"{row.coverage:.1%}",
            number(row.sharpness, 3), number(row.rank_correlation, 2),
        ]
        for row in stated
    ]  # fmt: skip
    header = ["90 % interval of", "form", "region", "coverage", "half-width", "rank correlation"]
    note = (
        "Coverage: share of voxels that the interval holds, 90 % if it is honest. Half-width "
        "(sharpness): its mean, on the 0 to 1 scale. Rank correlation: Spearman's, of half-width "
        "and size of the error."
    )
    return Table("Calibration of the uncertainty", header, cells, note)


def test_table(tests: Sequence[Tested], subjects: int, patients: int) -> Table:
    """The t-tests in the brain and its parts, or why there are none."""
    title = "Paired t-tests, one-tailed"
    if patients < 2:
        note = (
            f"None: there is one patient ({subjects} subject{'s' * (subjects > 1)}), and a test "
            "needs two or more."
        )
        return Table(title, [], [], note)
    if not tests:
        return Table(title, [], [], "None: there is no model to compare.")
    cells = [
        [
            test.comparison.better, test.comparison.worse, *test.where,
            _NAMES[test.metric], number(test.comparison.difference, 3),
            number(test.comparison.t, 2), p_value(test.comparison.p), str(test.comparison.n),
        ]
        for test in tests
        if test.metric != "ms_ssim" or test.where[1] == BRAIN
    ]  # fmt: skip
    header = ["better", "worse", "form", "region", "metric", "difference", "t", "p", "n"]
    note = (
        "n is the number of patients: examinations of one are averaged. Each test is one-tailed "
        "in favour of the better mean: double p unless the direction was fixed beforehand. p is "
        "not corrected for the number of tests."
    )
    return Table(title, header, cells, note)


def dice_table(rows: Sequence[LabelDice]) -> Table:
    """Mean Dice of each label and prediction."""
    cells = []
    for name in dict.fromkeys(row.prediction for row in rows):
        for label in sorted({row.label for row in rows if row.prediction == name}):
            found = [r.dice for r in rows if (r.prediction, r.label) == (name, label)]
            cells.append([name, str(label), number(fmean(found), 3), str(len(found))])
    note = "A structure in only one of the two label maps counts 0; n counts those that have it."
    return Table("Dice of label maps", ["labels of", "label", "Dice", "n"], cells, note)


def subjects_csv(rows: Sequence[TranslationRow]) -> str:
    """Every metric of every subject."""
    header = [field.name for field in fields(TranslationRow)]
    return as_csv(header, [list(asdict(row).values()) for row in rows])


def tests_csv(tests: Sequence[Tested]) -> str:
    """Every test."""
    header = ["form", "region", "figure", "better", "worse", "difference", "t", "p", "n"]
    return as_csv(
        header,
        [[*test.where, test.metric, *asdict(test.comparison).values()] for test in tests],
    )


def stated(row: TranslationRow) -> dict[str, str | float]:
    """The metrics that a row has, for JSON, which knows no NaN and no infinity."""
    return {
        name: value
        for name, value in asdict(row).items()
        if name != "patient" and (isinstance(value, str) or isfinite(value))
    }
