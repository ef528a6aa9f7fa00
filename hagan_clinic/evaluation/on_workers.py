"""Subjects evaluated by the workers of a Dask cluster, one subject at a time each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from hagan_clinic.cluster import UnfitWorkerError, connected, own_memory, own_threads, spread
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import DeviceError, ModelError
from hagan_clinic.evaluation.evaluated_patients import is_run
from hagan_clinic.evaluation.page import EvaluationPage
from hagan_clinic.evaluation.predictors import Models, Predictor
from hagan_clinic.evaluation.reference_baselines import FittedCurve
from hagan_clinic.evaluation.translation import Evaluation, evaluate_subject
from hagan_clinic.evaluation.worst import Worst


@dataclass(frozen=True)
class Evaluated:
    """What was found on one subject, and what is shown of it."""

    found: Evaluation
    worst: Worst
    page: EvaluationPage


@dataclass(frozen=True)
class Order:
    """What is asked of a worker, but for the subject.

    Attributes:
        models: Names, files and folders, which workers see under the same paths.
        sha256: Of those that are files.
        device: Where they run.
        sources: As of `evaluate_translation`.
        target: The same.
        curves: From `fit_curves`.
        worst: How many subjects are drawn.
        page_count: How many predictions the page has; 0 without one.
    """

    models: tuple[str, ...]
    sha256: tuple[str, ...]
    device: str
    sources: tuple[str, ...]
    target: str
    curves: dict[str, FittedCurve]
    worst: int
    page_count: int


def evaluate_on(
    cluster: str,
    order: Order,
    subjects: Sequence[Subject],
    *,
    step: Callable[[], None],
    say: Callable[[str], None],
) -> list[Evaluated]:
    """Have every subject evaluated; the results in the order of the subjects.

    Raises:
        InputError: A subject cannot be read or evaluated.
        DeviceError: The cluster cannot be used, or was lost.
    """
    results: dict[int, Evaluated] = {}
    # A worker runs in a folder of its own.
    order = replace(order, models=tuple(map(_absolute_name, order.models)))
    asked = [(order, _absolute(subject)) for subject in subjects]
    with connected(cluster) as client:
        for place, value in spread(client, _evaluate, asked, say=say):
            if isinstance(value, Exception):
                raise value
            results[place] = value
            step()
    return [results[place] for place in range(len(subjects))]


def hashes(given: Sequence[str], models: Sequence[Predictor]) -> tuple[str, ...]:
    """The sha256 of every model that is a file; each worker exports a run again."""
    return tuple(
        "" if is_run(Path(name)) else model.facts.get("sha256", "")
        for name, model in zip(given, models, strict=True)
    )


def _absolute_name(model: str) -> str:
    """A path in every folder; the name of a bundled model as it is."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _absolute(subject: Subject) -> Subject:
    return replace(
        subject,
        images={name: path.absolute() for name, path in subject.images.items()},
        mask=subject.mask and subject.mask.absolute(),
        lesion=subject.lesion and subject.lesion.absolute(),
    )


def _evaluate(asked: tuple[Order, Subject]) -> Evaluated:
    order, subject = asked
    models = _models(order.models, order.sha256, order.device)
    worst, page = Worst(order.worst, order.target), EvaluationPage(order.target, order.page_count)
    shown = [worst.show] * (order.worst > 0) + [page.show] * (order.page_count > 0)
    found = evaluate_subject(
        models, subject, order.sources, order.target, order.curves,
        show=shown, threads=own_threads(),
    )  # fmt: skip
    return Evaluated(found, worst, page)


@lru_cache(maxsize=1)  # a worker loads them once
def _models(given: tuple[str, ...], sha256: tuple[str, ...], device: str) -> list[Predictor]:
    try:
        models = Models(given, device, own_threads(), own_memory()).__enter__()
    except (ModelError, DeviceError) as error:
        raise UnfitWorkerError(str(error)) from error
    for name, expected, found in zip(given, sha256, hashes(given, models), strict=True):
        if found != expected:
            raise UnfitWorkerError(f"its model {name} has sha256 {found}, expected {expected}")
    return models
