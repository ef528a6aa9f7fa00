"""Translations of models beside those of reference baselines, on a cohort."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hagan_clinic.api.evaluated import Evaluated, ReportFiles
from hagan_clinic.cluster import WorkerDevices
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.cases import check_cases
from hagan_clinic.evaluation.evaluated_patients import find_subsets, is_run, seen_in_training
from hagan_clinic.evaluation.labels import check_labels, dice_of_cohort
from hagan_clinic.evaluation.on_workers import Order, check_no_run, evaluate_on, hashes
from hagan_clinic.evaluation.page import EvaluationPage
from hagan_clinic.evaluation.predictors import Models, Predictor, Volumes
from hagan_clinic.evaluation.translation import Evaluation, evaluate_translation, fit_curves
from hagan_clinic.evaluation.translation_report import TranslationReport, file_names
from hagan_clinic.evaluation.worst import Worst
from hagan_clinic.imageio.output_guard import check_output
from hagan_clinic.progress import counted
from hagan_clinic.runtime.page import PAGE_SUFFIXES


def evaluate_translators(
    models: Sequence[str | os.PathLike[str]],
    cohort: Path,
    output: Path,
    *,
    split: Path | None = None,
    subset: str = "test",
    mask: Path | None = None,
    form: str = "both",
    source: str = "t1",
    target: str = "flair",
    labels: Mapping[str, Path] | None = None,
    worst: int = 3,
    html: Path | None = None,
    device: str = "auto",
    cluster: str = "",
    overwrite: bool = False,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluated:
    """Evaluate models that translate, beside reference baselines and an oracle.

    Args:
        models: Names of bundled models, `.onnx` files, folders of conditional runs, or folders of
            volumes that any tool has made; none for the reference baselines alone.
        cohort: A folder or a CSV, as of `train`.
        output: Folder for tables and pictures.
        split: CSV of subject and split; without it the cohort's own, or that of the first run.
        subset: Part of the split to evaluate on.
        mask: One brain mask for all subjects.
        form: `head`, `stripped` or `both`.
        source: For the reference baselines, without a model.
        target: The same.
        labels: Folders of label maps to take Dice of, by a model's name or `reference`.
        worst: How many of the worst subjects to draw.
        html: Page to look at every prediction, if one is wanted.
        device: Where models run.
        cluster: Whose workers take the subjects, as `cluster.connected` takes it; else they are
            evaluated here.
        overwrite: Replace files that exist.
        quiet: Show no progress.
        say: Called with each line about the cluster's workers.

    Raises:
        InputError: The cohort, its split or the models' sequences do not fit, or a run folder is
            given to a cluster.
        ModelError: A model is missing or unusable.
        DeviceError: The device cannot be had.
        OutputError: A file exists or cannot be written.
    """
    given = [os.fspath(model) for model in models]
    if cluster:
        check_no_run(given)
    devices = WorkerDevices(say)
    if html is not None:
        if not given:
            raise InputError("a page shows what models predict, and none is given; give a MODEL")
        check_output(html, overwrite=overwrite, suffixes=PAGE_SUFFIXES)
    folders = dict(labels or {})
    runs = [Path(one) for one in given if is_run(Path(one))]
    # With a cluster the models run in its workers, and here may be no GPU.
    with Models(given, "cpu" if cluster else device) as predictors:
        sources = list(dict.fromkeys(s for model in predictors for s in model.sources)) or [source]
        target = _target(predictors, target)
        subsets = find_subsets(cohort, sources, target, mask, split=split, subset=subset, runs=runs)
        forms = _forms(check_cases([*subsets.training, *subsets.evaluated]), form)
        if len(forms) > 1 and any(isinstance(model, Volumes) for model in predictors):
            raise InputError(
                "a folder of volumes was made of whole heads or of brains: give --form head or "
                "--form stripped, by what it was"
            )
        names = file_names(predictors, forms, worst=worst > 0, dice=bool(folders))
        files = ReportFiles(output, names, overwrite=overwrite)
        dice = dice_of_cohort(folders, [model.name for model in predictors], subsets.evaluated)
        warnings = [*seen_in_training(runs, subsets.evaluated), *check_labels(dice)]
        pictures = Worst(worst, target)
        count = len(subsets.evaluated) * len(forms) * len(predictors)
        page = EvaluationPage(target, count)
        shown = [pictures.show] * (worst > 0) + [page.show] * (html is not None)
        total = len(subsets.training) + len(subsets.evaluated)
        with counted("evaluating", total, quiet=quiet) as step:
            if cluster:
                started = time.perf_counter()
                order = Order(
                    tuple(given), hashes(predictors), device, tuple(sources), target,
                    fit_curves(subsets.training, sources, target, forms, step),
                    worst, 0 if html is None else count,
                )  # fmt: skip
                found = Evaluation([model.name for model in predictors])
                found.spent("baselines fitted", started)
                for part in evaluate_on(
                    cluster, order, subsets.evaluated, step=step, say=say, devices=devices
                ):
                    found.add(part.found)
                    pictures.take(part.worst)
                    page.take(part.page)
            else:
                found = evaluate_translation(
                    predictors, subsets.training, subsets.evaluated, sources, target, forms,
                    step=step, show=shown,
                )  # fmt: skip
        where = {"device": f"{devices}, of {cluster}"} if devices else {}
        facts = {
            "side": subset,
            "models": {
                model.name: {**model.facts, **(where if "device" in model.facts else {})}
                for model in predictors
            },
        }
    warnings += found.warnings
    report = TranslationReport(
        found, sources[0], subsets.evaluated, dice, pictures, warnings, facts
    )
    files.write(report.writers())
    if html is not None:
        page.write(html)
    remark = _time(found, len(subsets.evaluated) * len(forms))
    return Evaluated(
        output, tuple(names), tuple(report.tables(brief=True)), tuple(warnings), remark
    )


def _time(found: Evaluation, count: int) -> str:
    """What a subject took, in one form."""
    in_models = sum(found.seconds.get(name, 0.0) for name in found.models) / count
    beside = (found.seconds["reading"] + found.seconds["metrics"]) / count
    return f"a subject in one form took {in_models:.1f} s in the models and {beside:.2f} s beside"


def _target(models: Sequence[Predictor], default: str) -> str:
    """What all models predict."""
    targets = {model.name: model.target for model in models if model.target}
    if len(set(targets.values())) > 1:
        found = ", ".join(f"{name} {target}" for name, target in targets.items())
        raise InputError(
            f"the models predict different sequences: {found}; evaluate them separately"
        )
    return next(iter(targets.values()), default)


def _forms(possible: Sequence[str], wanted: str) -> tuple[str, ...]:
    """The forms to translate, of those that the cohort has."""
    if wanted == "both" or len(possible) == 1:
        return tuple(possible)
    return (wanted,)
