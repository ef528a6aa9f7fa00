"""What a study found out about translation, as tables."""

import csv
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from study_place import FIRST, Place

from hagan_clinic.evaluation.comparison import Comparison, compare_pairs
from hagan_clinic.evaluation.folds import DIGITS, NAMES, FoldMetric, read_folds
from hagan_clinic.evaluation.tables import Table, number, p_value
from hagan_clinic.metrics.regions import BRAIN, TISSUE

METRICS = ("psnr", "ssim", "nmse", "ms_ssim")
CONSTANT, CURVE = "constant (training mean)", "T1 through a fitted curve"
PAPER = "-paper"
"""Ends the names of models with their paper's recipe."""


def in_brain(place: Place, fold: int | None = None, region: str = BRAIN) -> list[FoldMetric]:
    """Every metric of every patient in the brain, of all folds that are evaluated or of one."""
    found, _ = read_folds(place.folder)
    return [one for one in found if one.value.where[1] == region and fold in (None, one.fold)]


def over_folds(found: Sequence[FoldMetric], model: str, metric: str) -> str:
    """Mean of the folds' means, and their standard deviation."""
    by_fold: dict[int, list[float]] = {}
    for one in found:
        if (one.value.model, one.value.metric) == (model, metric):
            by_fold.setdefault(one.fold, []).append(one.value.value)
    means = [fmean(values) for values in by_fold.values()]
    if not means:
        return "–"
    spread = f" ± {stdev(means):.{DIGITS[metric]}f}" if len(means) > 1 else ""
    return number(fmean(means), DIGITS[metric]) + spread


def crossed(place: Place) -> list[str]:
    """The models with the one recipe."""
    return [name for name in place.models() if not name.endswith(PAPER)]


def translation_table(place: Place) -> Table:
    """Every model with the one recipe, beside what needs no training."""
    found, scaled = in_brain(place), in_brain(place, region=TISSUE)
    rows = [
        [
            name,
            "–" if name in (CONSTANT, CURVE) else str(place.plan(name)["steps"]),
            *(over_folds(found, name, metric) for metric in METRICS),
            over_folds(scaled, name, "psnr"),
        ]
        for name in (CONSTANT, CURVE, *crossed(place))
    ]
    folds = len({one.fold for one in found})
    patients = len({one.value.patient for one in found})
    note = (
        f"{place.box}, {place.time} for each model and fold. In the brain of {patients} patients, "
        f"each tested once, in {folds} of {place.folds} folds; mean ± standard deviation over "
        "folds. On the tissue scale translation and reference have the same darkest and median "
        "voxel, so that the brightness of a patient, which a T1 does not show, counts no longer."
    )
    header = ["model", "steps", *(NAMES[name] for name in METRICS), "PSNR, tissue scale"]
    return Table("Translation with one recipe", header, rows, note)


def tests_table(place: Place) -> Table:
    """HA-GAN against each other model and the fitted curve, over patients."""
    others = [*(name for name in crossed(place) if name != FIRST), CURVE]
    values = [one.value for one in in_brain(place)]
    found = {
        (comparison.better if comparison.worse == FIRST else comparison.worse, tested.metric):
        comparison
        for tested in compare_pairs(values, [(FIRST, other) for other in others])
        for comparison in [tested.comparison]
    }  # fmt: skip
    corrected = holm({key: two_sided(one) for key, one in found.items()})
    rows = [
        [
            other,
            *(
                f"{gain(one, metric)} ({p_value(two_sided(one))}; {p_value(corrected[key])})"
                for metric in METRICS
                for key in [(other, metric)]
                for one in [found[key]]
            ),
        ]
        for other in others
    ]
    n = max(one.n for one in found.values())
    note = (
        f"HA-GAN minus the other: mean difference over {n} patients, in brackets p of a paired "
        f"t-test, two-sided, and p by Holm for all {len(found)} tests of the table. Patients of a "
        "fold share one training, which these p do not know of."
    )
    return Table("HA-GAN against each", ["other", *(NAMES[name] for name in METRICS)], rows, note)


def two_sided(comparison: Comparison) -> float:
    """P of a test that was one-tailed."""
    return min(1.0, 2 * comparison.p)


def gain(comparison: Comparison, metric: str, of: str = FIRST) -> str:
    """The mean of one model minus that of the other."""
    sign = 1 if comparison.better == of else -1
    return f"{sign * comparison.difference:+.{DIGITS[metric]}f}"


def holm(p: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """P of each test, corrected for their number (Holm 1979)."""
    result: dict[tuple[str, str], float] = {}
    highest = 0.0
    for rank, key in enumerate(sorted(p, key=lambda one: p[one])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[key]))
        result[key] = highest
    return result


def recipe_table(place: Place) -> Table:
    """Models with their paper's recipe and with the one recipe, in the first fold."""
    found = in_brain(place, fold=1)
    rows = []
    for paper in (name for name in place.models() if name.endswith(PAPER)):
        tuned = paper.removesuffix(PAPER)
        tested = {
            one.metric: one.comparison
            for one in compare_pairs([one.value for one in found], [(tuned, paper)])
        }
        for name in (paper, tuned):
            means = [over_folds(found, name, metric) for metric in METRICS]
            rows.append([name, str(place.plan(name)["steps"]), *means])
        gains = (
            f"{gain(tested[metric], metric, tuned)} ({p_value(two_sided(tested[metric]))})"
            for metric in METRICS
        )
        rows.append(["difference (p)", "", *gains])
    note = (
        "The same networks with the losses, optimiser and schedule of their papers, in the first "
        f"fold for the same {place.time}; p two-sided, over patients."
    )
    header = ["model", "steps", *(NAMES[name] for name in METRICS)]
    return Table("What the recipe alone is worth", header, rows, note)


def budget_curve(place: Place) -> dict[str, dict[str, dict[float, float]]]:
    """Metric -> model -> minutes -> mean over the scans of the first fold, in the brain."""
    own = float(place.plan(FIRST)["minutes"])
    curves: dict[str, dict[str, dict[float, float]]] = {}
    for minutes in sorted({own, *place.budgets}):
        folder = place.evaluation("translation", None if minutes == own else minutes)
        with (folder / "subjects.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["region"] == BRAIN]
        ends = "" if minutes == own else f"-{minutes:g}min"
        for name in (CURVE, *crossed(place)):
            of = [row for row in rows if row["prediction"] in (name, name + ends)]
            for metric in ("psnr", "ssim"):
                value = fmean(float(row[metric]) for row in of)
                curves.setdefault(metric, {}).setdefault(name, {})[minutes] = value
    return curves


def budget_table(place: Place) -> Table:
    """PSNR and SSIM against minutes."""
    psnr, ssim = budget_curve(place).values()
    minutes = list(psnr[FIRST])
    rows = [
        [name, *(f"{psnr[name][one]:.2f} / {ssim[name][one]:.3f}" for one in minutes)]
        for name in crossed(place)
    ]
    note = (
        "PSNR / SSIM in the brain of the first fold's patients. Each budget is a training of its "
        "own, whose schedule ends with it."
    )
    return Table(
        "What more minutes bring", ["model", *(f"{one:g} min" for one in minutes)], rows, note
    )
