"""Subjects evaluated by the workers of a Dask cluster, one subject at a time each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from hagan_clinic.cluster import (
    UnfitWorkerError,
    WorkerDevices,
    absolute,
    connected,
    model_anywhere,
    own_address,
    own_memory,
    own_threads,
    spread,
)
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import DeviceError, InputError, ModelError
from hagan_clinic.evaluation.evaluated_patients import is_run
from hagan_clinic.evaluation.page import EvaluationPage
from hagan_clinic.evaluation.predictors import Model, Models, Predictor
from hagan_clinic.evaluation.reference_baselines import FittedCurve
from hagan_clinic.evaluation.translation import Evaluation, evaluate_subject
from hagan_clinic.evaluation.worst import Worst
from hagan_clinic.runtime.providers import Device
from hagan_clinic.training.run_folder import SPLIT


@dataclass(frozen=True)
class EvaluatedSubject:
    """What was found on one subject, and what is shown of it."""

    found: Evaluation
    worst: Worst
    page: EvaluationPage
    worker: str
    device: Device | None


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
    devices: WorkerDevices,
) -> list[EvaluatedSubject]:
    """Have every subject evaluated; the results in the order of the subjects.

    Args:
        cluster: As `connected` takes it.
        order: What is asked.
        subjects: To evaluate on.
        step: Called after each subject.
        say: Told of workers that are lost or refused.
        devices: Takes in where the workers' models run.

    Raises:
        InputError: A subject cannot be read or evaluated.
        DeviceError: The cluster cannot be used, or was lost.
    """
    results: dict[int, EvaluatedSubject] = {}
    order = replace(order, models=tuple(map(_model_anywhere, order.models)))
    asked = [(order, _anywhere(subject)) for subject in subjects]
    with connected(cluster) as client:
        for place, value in spread(client, _evaluate, asked, say=say):
            if isinstance(value, Exception):
                raise value
            if value.device:
                devices.saw(value.worker, value.device)
            results[place] = value
            step()
    return [results[place] for place in range(len(subjects))]


def hashes(models: Sequence[Predictor]) -> tuple[str, ...]:
    """The sha256 of every model that is a file; empty for a folder of volumes."""
    return tuple(model.facts.get("sha256", "") for model in models)


def check_no_run(given: Sequence[str]) -> None:
    """Refuse run folders, which every worker would export by itself, each on its own machine.

    Raises:
        InputError: One is a run folder.
    """
    for run in filter(is_run, map(Path, given)):
        raise InputError(
            f"{run} is a run folder, and the workers of a cluster take exported models: run "
            f"`hagan-clinic export {run} -o {run.resolve().name}.onnx`, and give that file, "
            f"with --split {run / SPLIT}"
        )


def _model_anywhere(given: str) -> str:
    """As `model_anywhere`; here a folder, of volumes, goes before a bundled model of its name."""
    return str(absolute(Path(given))) if Path(given).is_dir() else model_anywhere(given)


def _anywhere(subject: Subject) -> Subject:
    return replace(
        subject,
        images={name: absolute(path) for name, path in subject.images.items()},
        mask=absolute(subject.mask),
        lesion=absolute(subject.lesion),
    )


def _evaluate(asked: tuple[Order, Subject]) -> EvaluatedSubject:
    order, subject = asked
    models = _models(order.models, order.sha256, order.device)
    worst, page = Worst(order.worst, order.target), EvaluationPage(order.target, order.page_count)
    shown = [worst.show] * (order.worst > 0) + [page.show] * (order.page_count > 0)
    found = evaluate_subject(
        models, subject, order.sources, order.target, order.curves,
        show=shown, threads=own_threads(),
    )  # fmt: skip
    device = next((model.device for model in models if isinstance(model, Model)), None)
    return EvaluatedSubject(found, worst, page, own_address(), device)


@lru_cache(maxsize=1)  # a worker loads them once
def _models(given: tuple[str, ...], sha256: tuple[str, ...], device: str) -> list[Predictor]:
    try:
        models = Models(given, device, own_threads(), own_memory()).__enter__()
    except (ModelError, DeviceError) as error:
        raise UnfitWorkerError(str(error)) from error
    for name, expected, found in zip(given, sha256, hashes(models), strict=True):
        if found != expected:
            raise UnfitWorkerError(f"its model {name} has sha256 {found}, expected {expected}")
    return models
