"""Translations evaluated on unseen patients, beside reference baselines and an oracle."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean

import numpy as np

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.cases import SAME, Case, read_cases
from hagan_clinic.evaluation.comparison import Tested, Value, compare_pairs, every_pair
from hagan_clinic.evaluation.predictors import (
    ORACLE,
    Prediction,
    Predictor,
    oracle,
    reference_baselines,
)
from hagan_clinic.evaluation.reference_baselines import CurveFit, FittedCurve
from hagan_clinic.metrics.calibration import coverage, error_rank_correlation, reliability
from hagan_clinic.metrics.regions import BRAIN, Scores
from hagan_clinic.runtime.session import usable_cpus

SCORES = tuple(one.name for one in fields(Scores))
HONESTY = ("coverage", "sharpness", "rank_correlation")
METRICS = (*SCORES, *HONESTY)
PROTOCOL = (
    "Data range 1. The reference is on [0, 1] by its own 0.5 and 99.5 percentiles in the brain "
    "mask, clipped; the prediction is clipped, and never fitted to the reference except in the "
    "rows named oracle, which are fitted to it in the brain by a straight line. On the tissue "
    "scale both have their in-brain 0.5 percentile at 0 and their in-brain median at 0.4. PSNR in "
    "dB. SSIM in 3D, Gaussian window of sigma 1.5 voxels, 11 wide, its map averaged over the "
    "region, both images zeroed outside the brain for brain, tumour and healthy tissue. MS-SSIM "
    "with the same window and as many of five scales as MONAI allows for the size, over the whole "
    "volume and over the brain's box with everything else zeroed. Means over subjects."
)

NAN = float("nan")


@dataclass(frozen=True)
class TranslationRow:
    """The metrics of one prediction of one subject, or their mean; absent ones are NaN.

    Attributes:
        prediction: Whose.
        form: Head, stripped, or as given.
        subject: Its name, or what the mean is of.
        patient: Whose examination it is.
        region: Where.
        psnr: In dB.
        ssim: Structural similarity.
        nmse: Normalised mean squared error.
        ms_ssim: At several scales; in the brain and in the whole volume.
        coverage: Share of voxels within the 90 % interval.
        sharpness: Mean half-width of that interval.
        rank_correlation: Of the half-width with the size of the error.
    """

    prediction: str
    form: str
    subject: str
    patient: str
    region: str
    psnr: float
    ssim: float
    nmse: float
    ms_ssim: float = NAN
    coverage: float = NAN
    sharpness: float = NAN
    rank_correlation: float = NAN


Show = Callable[[str, Case, Prediction, TranslationRow], None]


@dataclass(eq=False)
class Evaluation:
    """What `evaluate_translation` finds out.

    Attributes:
        models: Names of the models' rows.
        rows: Of every subject.
        curves: (model, form, region) -> for each subject the share held at each level.
        warnings: One a line.
        seconds: Wall clock of reading, of each model, and of all the metrics.
    """

    models: list[str]
    rows: list[TranslationRow] = field(default_factory=list)
    curves: dict[tuple[str, str, str], list[list[float]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def spent(self, on: str, since: float) -> None:
        """Add what has passed since a time to what was spent on something."""
        self.seconds[on] = self.seconds.get(on, 0.0) + time.perf_counter() - since

    def add(self, other: "Evaluation") -> None:
        """Take in what was found on other subjects."""
        self.rows += other.rows
        self.warnings += other.warnings
        for key, many in other.curves.items():
            self.curves.setdefault(key, []).extend(many)
        for on, seconds in other.seconds.items():
            self.seconds[on] = self.seconds.get(on, 0.0) + seconds


def evaluate_translation(
    models: Sequence[Predictor],
    training: Sequence[Subject],
    subjects: Sequence[Subject],
    sources: Sequence[str],
    target: str,
    forms: Sequence[str],
    *,
    step: Callable[[], None] = lambda: None,
    show: Sequence[Show] = (),
) -> Evaluation:
    """Evaluate models and reference baselines on subjects.

    Args:
        models: What is evaluated.
        training: The patients that the reference baselines are fitted on.
        subjects: Those to evaluate on.
        sources: Sequences of the cohort; reference baselines use the first.
        target: The sequence that is predicted.
        forms: Of `evaluation.cases`.
        step: Called after each subject, of `training` first.
        show: Called with each model's prediction, with its in-brain PSNR.

    Raises:
        InputError: A subject cannot be read or evaluated, or a prediction does not fit it.
    """
    found = Evaluation([model.name for model in models])
    started = time.perf_counter()
    curves = fit_curves(training, sources, target, forms, step)
    found.spent("baselines fitted", started)
    for subject in subjects:
        found.add(evaluate_subject(models, subject, sources, target, curves, show=show))
        step()
    return found


def evaluate_subject(
    models: Sequence[Predictor],
    subject: Subject,
    sources: Sequence[str],
    target: str,
    curves: Mapping[str, FittedCurve],
    *,
    show: Sequence[Show] = (),
    threads: int | None = None,
) -> Evaluation:
    """Evaluate models and reference baselines on one subject.

    Args:
        models: As of `evaluate_translation`.
        subject: To evaluate on.
        sources: As of `evaluate_translation`.
        target: The same.
        curves: Of each form, from `fit_curves`.
        show: As of `evaluate_translation`.
        threads: For the metrics; all usable cores if not given.

    Raises:
        InputError: It cannot be read or evaluated, or a prediction does not fit it.
    """
    found = Evaluation([model.name for model in models])
    with ThreadPoolExecutor(threads or usable_cpus()) as pool:
        for case in _timed(read_cases(subject, sources, target, list(curves)), found):
            _evaluate(found, case, models, curves[case.form], sources[0], pool, show)
    return found


def fit_curves(
    training: Sequence[Subject],
    sources: Sequence[str],
    target: str,
    forms: Sequence[str],
    step: Callable[[], None] = lambda: None,
) -> dict[str, FittedCurve]:
    """The fitted curve of each form, each patient read once.

    Raises:
        InputError: There is no patient, or one cannot be read.
    """
    fits = {form: CurveFit() for form in forms}
    for subject in training:
        for case in read_cases(subject, sources, target, forms):
            fits[case.form].add(case.source[case.brain], case.reference[case.brain])
        step()
    return {form: fit.curve() for form, fit in fits.items()}


def _evaluate(
    found: Evaluation,
    case: Case,
    models: Sequence[Predictor],
    curve: FittedCurve,
    source: str,
    pool: ThreadPoolExecutor,
    show: Sequence[Show],
) -> None:
    """Every row of one subject in one form."""
    name, form = case.subject.name, case.form
    predictions: dict[str, Prediction] = {}
    for model in models:
        started = time.perf_counter()
        predictions[model.name] = model(case)
        found.spent(model.name, started)
    started = time.perf_counter()
    for copy in case.copies:
        found.warnings.append(f"{name}, {form}: the {copy} is the reference itself: a leak?")
    for title, prediction in predictions.items():
        difference = np.abs(prediction.image - case.reference)[case.brain]
        if float(difference.max()) < SAME:
            found.warnings.append(
                f"{name}, {form}: what {title} gives is the reference itself: a leak?"
            )
    named = reference_baselines(case, curve, source)
    for title, prediction in predictions.items():
        named[title] = prediction
        named[ORACLE.format(title)] = oracle(prediction, case)
    reference = case.scored()
    scores = list(pool.map(lambda one: reference.score(one.image), named.values()))
    honesty = dict(
        zip(predictions, pool.map(lambda one: _honesty(one, case), predictions.values()),
            strict=True)
    )  # fmt: skip
    for (title, prediction), regions in zip(named.items(), scores, strict=True):
        for region, scores_of in regions.items():
            stated, held = honesty.get(title, {}).get(region, ({}, []))
            row = TranslationRow(
                title, form, name, case.subject.patient, region, **asdict(scores_of), **stated
            )
            found.rows.append(row)
            if held:
                found.curves.setdefault((title, form, region), []).append(held)
            if title in predictions and region == BRAIN:
                for show_row in show:
                    show_row(title, case, prediction, row)
    found.spent("metrics", started)


def _honesty(prediction: Prediction, case: Case) -> dict[str, tuple[dict[str, float], list[float]]]:
    """Region -> how well the interval covers there, and its reliability curve."""
    if prediction.half_width is None:
        return {}
    error = np.clip(prediction.image, 0, 1) - case.reference
    result = {}
    for region, inside in {BRAIN: case.brain, **case.parts}.items():
        errors, widths = error[inside], prediction.half_width[inside]
        try:
            stated = {
                "coverage": coverage(errors, widths),
                "sharpness": float(widths.mean()),
                "rank_correlation": error_rank_correlation(errors, widths),
            }
            result[region] = (stated, reliability(errors, widths).tolist())
        except InputError as problem:
            raise InputError(f"{case.subject.name}, uncertainty: {problem}") from problem
    return result


def _timed(cases: Iterable[Case], found: Evaluation) -> Iterator[Case]:
    """The cases; the time that reading takes is counted."""
    iterator = iter(cases)
    while True:
        started = time.perf_counter()
        case = next(iterator, None)
        found.spent("reading", started)
        if case is None:
            return
        yield case


def means(rows: Sequence[TranslationRow]) -> list[TranslationRow]:
    """The mean over subjects of each prediction, form and region; of infinite PSNR it is that."""
    groups: dict[tuple[str, str, str], list[TranslationRow]] = {}
    for row in rows:
        groups.setdefault((row.form, row.prediction, row.region), []).append(row)
    return [
        TranslationRow(
            prediction, form, f"mean of {len(group)}", "", region,
            **{name: fmean(getattr(row, name) for row in group) for name in METRICS},
        )
        for (form, prediction, region), group in groups.items()
    ]  # fmt: skip


def tests(evaluation: Evaluation, source: str) -> list[Tested]:
    """Each pair of models, and each model and the fitted curve, by patient.

    Args:
        evaluation: From `evaluate_translation`.
        source: Whose curve.
    """
    curve = f"{source.upper()} through a fitted curve"
    values = (
        Value((row.form, row.region), name, row.prediction, row.patient, getattr(row, name))
        for row in evaluation.rows
        for name in SCORES
    )
    models = evaluation.models
    return compare_pairs(values, [*every_pair(models), *((one, curve) for one in models)])


def mean_curves(
    curves: Mapping[tuple[str, str, str], Sequence[Sequence[float]]], form: str
) -> dict[tuple[str, str], list[float]]:
    """(model, region) -> mean over subjects of the share held at each level, in one form."""
    return {
        (model, region): np.mean(many, axis=0).tolist()
        for (model, of, region), many in curves.items()
        if of == form
    }
