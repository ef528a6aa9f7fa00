"""The page of `translate --html`: what it shows of each translation, and its writing at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hagan_clinic.cli.batch import TranslationTask, may_be_series
from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime import Translation, Translator
from hagan_clinic.runtime.page import Failure, Subject, make_subject, write_page
from hagan_clinic.runtime.provenance import licence_in_words
from hagan_clinic.volume import Volume

if TYPE_CHECKING:
    from hagan_clinic.cli.one_translation import Result, Settings


def page_subject(
    job: TranslationTask, translation: Translation, recipe: Recipe, settings: Settings
) -> Subject:
    """What a page shows of a translation and its scans."""
    paths = {recipe.sources[0]: job.source} if isinstance(job.source, Path) else job.source
    series = job.series or settings.series

    def scan(name: str) -> Volume:
        path = paths[name]
        if may_be_series(path):
            return read_series(path, name, series, allow_contrast=settings.allow_contrast).volume
        return read(path)

    assert settings.page_room is not None  # who calls wants a page
    return make_subject(
        job.name,
        [(name, scan(name)) for name in recipe.sources],
        (recipe.target, translation.volume),
        uncertainty=translation.uncertainty,
        warnings=translation.report["warnings"],
        limit=settings.page_room,
    )


def write_results_page(results: Sequence[Result], path: Path, translator: Translator) -> bool:
    """Write the page of all translations and failures, unless there are none.

    Raises:
        OutputError: It cannot be written.
    """
    rows = [
        Failure(result.job.name, result.message) if result.exit_code else result.shown
        for result in results
    ]
    shown = [row for row in rows if row is not None]
    if shown:
        card = translator.model.card
        licence = licence_in_words(card.licence)
        write_page(shown, path, f"{card.name}, weights {translator.model.sha256[:12]}, {licence}")
    return bool(shown)
