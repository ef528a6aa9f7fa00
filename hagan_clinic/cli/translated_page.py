"""The page of `translate --html`: what it shows of each translation, and its writing at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.cli.batch import TranslationTask, may_be_series
from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime import Translation, Translator
from hagan_clinic.runtime.outputs import is_folder
from hagan_clinic.runtime.page import (
    Failure,
    ShownSubject,
    make_subject,
    names_of,
    read_made,
    write_page,
)
from hagan_clinic.runtime.provenance import licence_in_words
from hagan_clinic.volume import Volume

if TYPE_CHECKING:
    from hagan_clinic.cli.one_translation import Result, Settings


def page_subject(
    job: TranslationTask, translation: Translation, recipe: Recipe, settings: Settings
) -> ShownSubject:
    """What a page shows of a translation and its scans."""
    return _subject(
        job,
        # A derived series has fewer steps and may be marked: the page shows what the series has.
        read_made(job.output) if is_folder(job.output) else translation.volume,
        read_made(job.uncertainty)
        if job.uncertainty is not None and is_folder(job.uncertainty)
        else translation.uncertainty,
        translation.report["warnings"],
        recipe,
        settings,
    )


def kept_subject(
    job: TranslationTask, warnings: Sequence[str], recipe: Recipe, settings: Settings
) -> ShownSubject:
    """What a page shows of a result that was there already."""
    uncertainty = None if job.uncertainty is None else read_made(job.uncertainty)
    return _subject(job, read_made(job.output), uncertainty, warnings, recipe, settings)


def _subject(
    job: TranslationTask,
    image: Volume,
    uncertainty: Volume | None,
    warnings: Sequence[str],
    recipe: Recipe,
    settings: Settings,
) -> ShownSubject:
    paths = {recipe.sources[0]: job.source} if isinstance(job.source, Path) else job.source
    series = job.series or settings.series

    def scan(name: str) -> Volume:
        path = paths[name]
        if may_be_series(path):
            return read_series(path, name, series, allow_contrast=settings.allow_contrast).volume
        return read(path)

    assert settings.page_room is not None  # who calls wants a page
    return make_subject(
        job.subject or job.name,
        [(name, scan(name)) for name in recipe.sources],
        (recipe.target, image),
        uncertainty=uncertainty,
        warnings=warnings,
        limit=settings.page_room,
    )


def write_results_page(results: Sequence[Result], path: Path, translator: Translator) -> bool:
    """Write the page of all translations and failures, unless there are none.

    Raises:
        OutputError: It cannot be written.
    """
    volumes = [one.job.output for one in results if one.shown and not is_folder(one.job.output)]
    # As `view` calls them; a series keeps the name of its examination.
    names = dict(zip(volumes, names_of(volumes), strict=True))
    rows: list[ShownSubject | Failure] = []
    for result in results:
        job = result.job
        if result.exit_code:
            rows.append(Failure(job.subject or job.name, result.message))
        elif result.shown:
            rows.append(replace(result.shown, name=names.get(job.output, result.shown.name)))
    if rows:
        card = translator.model.card
        licence = licence_in_words(card.licence)
        write_page(rows, path, f"{card.name}, weights {translator.model.sha256[:12]}, {licence}")
    return bool(rows)
