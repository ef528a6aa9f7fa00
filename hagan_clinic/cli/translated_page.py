"""The page of `translate --html`, which grows by one subject a translation."""

from __future__ import annotations

from pathlib import Path

from hagan_clinic.cli.batch import TranslationTask, may_be_series
from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.imageio.sidecar import stem_of
from hagan_clinic.runtime import Translation, Translator
from hagan_clinic.runtime.page import Subject, make_subject, room_for, write_page
from hagan_clinic.runtime.page.page import check_page_path
from hagan_clinic.runtime.provenance import licence_in_words
from hagan_clinic.volume import Volume


class TranslatedPage:
    """A page that is not written yet.

    Args:
        path: Where it goes.
        translator: Its model makes the results.
        count: How many results there will be at most.
        folder: Of several results; they are named by their places in it.
        overwrite: Replace a page that exists.

    Raises:
        OutputError: It cannot be written there.
    """

    def __init__(
        self,
        path: Path,
        translator: Translator,
        count: int = 1,
        folder: Path | None = None,
        *,
        overwrite: bool,
    ) -> None:
        check_page_path(path, overwrite=overwrite)
        self.path = path
        self.subjects: list[Subject] = []
        self._folder = folder
        self._model = translator.model
        self._room = room_for(count)

    def add(
        self,
        job: TranslationTask,
        translation: Translation,
        series: str | None = None,
        *,
        allow_contrast: bool = False,
    ) -> None:
        """Take a translation and its scans in."""
        recipe = self._model.recipe
        paths = {recipe.sources[0]: job.source} if isinstance(job.source, Path) else job.source

        def scan(name: str) -> Volume:
            path = paths[name]
            if may_be_series(path):
                return read_series(path, name, series, allow_contrast=allow_contrast).volume
            return read(path)

        self.subjects.append(
            make_subject(
                self._name(job),
                [(name, scan(name)) for name in recipe.sources],
                (recipe.target, translation.volume),
                uncertainty=translation.uncertainty,
                warnings=translation.report["warnings"],
                limit=self._room,
            )
        )

    def _name(self, job: TranslationTask) -> str:
        # Scans of many folders may all be called t1.nii.gz.
        if job.called or self._folder is None:
            return job.name
        return str(job.output.relative_to(self._folder).with_name(stem_of(job.output)))

    def write(self) -> None:
        """Write the page; where nothing was translated there is none.

        Raises:
            OutputError: It cannot be written.
        """
        if self.subjects:
            card = self._model.card
            licence = licence_in_words(card.licence)
            footer = f"{card.name}, weights {self._model.sha256[:12]}, {licence}"
            write_page(self.subjects, self.path, footer)
