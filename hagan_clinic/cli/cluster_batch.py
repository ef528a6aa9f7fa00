"""The jobs of one call of `translate` on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.failures import explained
from hagan_clinic.cli.one_translation import Result, Settings, attempt
from hagan_clinic.cli.printing import say
from hagan_clinic.cluster import (
    UnfitWorkerError,
    WorkerDevices,
    absolute,
    connected,
    model_anywhere,
    own_address,
    own_memory,
    own_threads,
    require,
    spread,
)
from hagan_clinic.errors import HaganClinicError
from hagan_clinic.imageio import remove_leftovers
from hagan_clinic.imageio.sidecar import read_sidecar
from hagan_clinic.runtime import Translator
from hagan_clinic.runtime.library import find_model
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.outputs import Outputs, is_folder
from hagan_clinic.runtime.provenance import file_sha256
from hagan_clinic.runtime.providers import Device

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True)
class Cluster:
    """A cluster, and how its workers load the model.

    Attributes:
        address: As `cluster.connected` takes it.
        device: Where each worker's network runs.
        max_memory: Of each worker; by default its share of Dask's limit.
        threads: Of each worker; by default those that Dask gives it.
        tf32: As of `Translator`.
    """

    address: str
    device: str = "auto"
    max_memory: str | None = None
    threads: int | None = None
    tf32: bool = False

    def results(
        self,
        jobs: Sequence[TranslationTask],
        model: ModelFile,
        given: str,
        settings: Settings,
        progress: Progress,
        devices: WorkerDevices,
    ) -> Iterator[Result]:
        """Do the jobs, in no order.

        Args:
            jobs: To do.
            model: As it is here, which workers must have too.
            given: Its name or path.
            settings: Of the call.
            progress: Moved by each job that is done.
            devices: Takes in where the workers' networks run.

        Raises:
            DeviceError: The cluster cannot be used, or was lost.
        """
        path = model_anywhere(given)
        settings = replace(settings, dicom_like=absolute(settings.dicom_like))
        orders = [
            _Order(_elsewhere(job), self, path, model.sha256, settings, not _is_begun(job))
            for job in jobs
        ]
        with connected(self.address) as client:
            found = client.run(_sha256, path, on_error="return")
            require(f"the model {given} with sha256", model.sha256, found)
            for place, value in spread(client, _done, orders, say=_tell):
                progress.advance(progress.task_ids[0])
                if isinstance(value, Exception):
                    message, code = explained(value)
                    yield Result(jobs[place], "failed", 0.0, (), message, code)
                else:
                    devices.saw(value.worker, value.device)
                    yield replace(value.result, job=jobs[place])


def _tell(line: str) -> None:
    say(line, err=True)


@dataclass(frozen=True)
class _Order:
    """One job as it travels.

    Attributes:
        job: With paths that hold in every folder.
        cluster: How the model is loaded.
        model: Its name or path.
        sha256: Of its file.
        settings: Of the call.
        is_new: Nothing of its results was there when the call began.
    """

    job: TranslationTask
    cluster: Cluster
    model: str
    sha256: str
    settings: Settings
    is_new: bool


@dataclass(frozen=True)
class _Done:
    """A job's result, and where it was done."""

    result: Result
    worker: str
    device: Device


def _done(order: _Order) -> _Done:
    """Do a job in a worker, by the same function as without a cluster."""
    settings = order.settings
    for path in _outputs(order.job).paths:
        remove_leftovers(path)  # of a worker that was killed while it wrote
    if order.is_new and _is_begun(order.job):
        # By a worker that died before it could tell. A folder of a series is placed whole.
        facts = read_sidecar(order.job.output).values
        if is_folder(order.job.output) or facts.get("synthetic") is True:
            settings = replace(settings, overwrite=True)
    translator = _translator(order.cluster, order.model, order.sha256)
    return _Done(attempt(order.job, translator, settings), own_address(), translator.device)


@lru_cache(maxsize=1)  # a worker has one model at a time, and loads it once
def _translator(cluster: Cluster, model: str, sha256: str) -> Translator:
    try:
        translator = Translator(
            model,
            cluster.device,
            max_memory=cluster.max_memory or own_memory(),
            threads=cluster.threads or own_threads(),
            tf32=cluster.tf32,
        )
    except HaganClinicError as error:
        raise UnfitWorkerError(str(error)) from error
    if translator.model.sha256 != sha256:
        raise UnfitWorkerError(
            f"its model {model} has sha256 {translator.model.sha256}, expected {sha256}"
        )
    return translator


def _sha256(model: str) -> str:
    return file_sha256(find_model(model))


def _is_begun(job: TranslationTask) -> bool:
    return any(path.exists() for path in _outputs(job).paths)


def _outputs(job: TranslationTask) -> Outputs:
    return Outputs(job.output, job.uncertainty, job.preview, job.report)


def _elsewhere(job: TranslationTask) -> TranslationTask:
    """The job with absolute paths, as a worker runs in a folder of its own."""
    source = (
        {name: absolute(path) for name, path in job.source.items()}
        if isinstance(job.source, Mapping)
        else absolute(job.source)
    )
    return replace(
        job,
        source=source,
        output=absolute(job.output),
        uncertainty=absolute(job.uncertainty),
        preview=absolute(job.preview),
        report=absolute(job.report),
        mask=absolute(job.mask),
        # A message and a page name it as it is named here.
        called=job.name,
    )
