"""One translation of a call of `translate`: a job and settings in, out a result that can travel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hagan_clinic.cli.batch import TranslationTask
from hagan_clinic.cli.failures import explained
from hagan_clinic.cli.kept import is_done
from hagan_clinic.cli.translated_page import kept_subject, page_subject
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.sidecar import read_sidecar
from hagan_clinic.runtime.outputs import is_folder
from hagan_clinic.runtime.page import read_report

if TYPE_CHECKING:
    from hagan_clinic.imageio.dicom.options import SeriesOptions
    from hagan_clinic.runtime import Translator
    from hagan_clinic.runtime.page import ShownSubject

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Settings:
    """What holds for every scan of a call.

    Attributes:
        series: Series Instance UID of the DICOM series to take.
        dicom_like: The DICOM series that the scan was converted from.
        series_options: What a site chooses in the headers of a derived series.
        allow_contrast: Accept scans that look contrast-enhanced.
        skip_existing: Keep results that are there (see `is_done`).
        overwrite: Replace outputs that exist.
        page_room: Bytes that a page may take for each; None where no page is wanted.
    """

    series: str | None = None
    dicom_like: Path | None = None
    series_options: SeriesOptions | None = None
    allow_contrast: bool = False
    skip_existing: bool = False
    overwrite: bool = False
    page_room: int | None = None


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Attributes:
        job: What was to be done.
        status: In a word.
        seconds: What it took.
        warnings: Of the run that made it.
        message: Why it failed, in one line.
        exit_code: 0, or that of the failure.
        shown: What a page shows of it, where one is wanted.
    """

    job: TranslationTask
    status: Literal["translated", "kept", "failed"]
    seconds: float
    warnings: tuple[str, ...] = ()
    message: str = ""
    exit_code: int = 0
    shown: ShownSubject | None = None

    def with_warnings(self, warnings: tuple[str, ...]) -> Result:
        """The same with other warnings, on the page too."""
        shown = self.shown and replace(self.shown, warnings=warnings)
        return replace(self, warnings=warnings, shown=shown)


def attempt(
    job: TranslationTask,
    translator: Translator,
    settings: Settings,
    progress: Progress = lambda stage, share: None,
) -> Result:
    """Do a job among others: its folders are made, and a failure is a result too."""
    start = time.perf_counter()
    try:
        if job.problem is not None:
            raise job.problem
        with folders(job.folders, parents=True):
            return perform(job, translator, settings, progress)
    except Exception as error:  # one scan's failure is reported, and the others go on
        message, code = explained(error)
        if is_folder(job.output):  # of a series, in a folder that may be named after a patient
            for path in (job.uncertainty, job.output, job.preview, job.report):
                message = message.replace(str(path), "its result") if path else message
        return Result(job, "failed", time.perf_counter() - start, (), message, code)


def perform(
    job: TranslationTask, translator: Translator, settings: Settings, progress: Progress
) -> Result:
    """Do a job, or keep what is there of it.

    Raises:
        HaganClinicError: As `Translator.translate` and `is_done`.
    """
    start = time.perf_counter()
    if settings.skip_existing and is_done(job, translator, settings):
        warnings = (
            tuple(map(str, read_report(job.report).get("warnings", ()))) if job.report else ()
        )
        shown = None
        if settings.page_room:
            shown = kept_subject(job, warnings, translator.model.recipe, settings)
        return Result(job, "kept", time.perf_counter() - start, warnings, shown=shown)
    # A sidecar without its volume is what a killed run leaves, as the volume is placed last.
    left = settings.skip_existing and read_sidecar(job.output).values.get("synthetic") is True
    translation = translator.translate(
        job.source,
        job.output,
        mask=job.mask,
        uncertainty=job.uncertainty,
        preview=job.preview,
        report=job.report,
        series=job.series or settings.series,
        dicom_like=settings.dicom_like,
        series_options=settings.series_options,
        notes=job.notes,
        allow_contrast=settings.allow_contrast,
        overwrite=settings.overwrite or left,
        progress=progress,
    )
    return Result(
        job,
        "translated",
        translation.report["seconds"]["total"],
        tuple(translation.report["warnings"]),
        shown=page_subject(job, translation, translator.model.recipe, settings)
        if settings.page_room
        else None,
    )


@contextmanager
def folders(wanted: list[Path], *, parents: bool = False) -> Iterator[None]:
    """Make the result folders that are missing; remove those that stayed empty."""
    made: list[Path] = []
    try:
        for folder in wanted:
            above = [one for one in folder.parents if not one.exists()] if parents else []
            for missing in (*reversed(above), folder):
                if not missing.exists():
                    try:
                        missing.mkdir(exist_ok=True)
                    except OSError as error:
                        raise OutputError(
                            f"{missing}: cannot make this folder ({error.strerror}); choose another"
                        ) from error
                    made.append(missing)
        yield
    finally:
        for folder in reversed(made):
            with suppress(OSError):  # others may work in it
                folder.rmdir()
