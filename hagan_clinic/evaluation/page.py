"""The page of `evaluate translation --html`: each patient's images and figures, the worst first."""

import math
from pathlib import Path

from hagan_clinic.evaluation.cases import Case, Image
from hagan_clinic.evaluation.predictors import Prediction
from hagan_clinic.evaluation.translation import TranslationRow
from hagan_clinic.runtime.page import ShownSubject, make_subject, room_for, write_page
from hagan_clinic.volume import Volume

_PSNR = "PSNR, dB"


class EvaluationPage:
    """Takes predictions as evaluation goes.

    Args:
        target: Name of the sequence that is predicted.
        count: How many predictions there will be.
    """

    def __init__(self, target: str, count: int) -> None:
        self._target, self._room = target, room_for(count)
        self._subjects: list[ShownSubject] = []

    def show(self, model: str, case: Case, prediction: Prediction, row: TranslationRow) -> None:
        """Take a prediction, with its in-brain figures."""
        first = next(iter(case.sources.values()))

        def volume(image: Image) -> Volume:
            return Volume(image, first.affine)

        figures = {
            _PSNR: row.psnr,
            "SSIM": row.ssim,
            "NMSE": row.nmse,
            "outside the error bar": 1 - row.coverage,
            "mean error bar": row.sharpness,
        }
        width = prediction.half_width
        self._subjects.append(
            make_subject(
                f"{case.subject.name}, {case.form}, {model}",
                list(case.sources.items()),
                (self._target, volume(prediction.image)),
                uncertainty=None if width is None else volume(width),
                real=volume(case.reference),
                real_is_scaled=True,
                figures={name: one for name, one in figures.items() if math.isfinite(one)},
                limit=self._room,
            )
        )

    def take(self, other: "EvaluationPage") -> None:
        """Take what another has, of other subjects."""
        self._subjects += other._subjects

    def write(self, path: Path) -> None:
        """Write the page, the lowest PSNR first.

        Raises:
            OutputError: It cannot be written.
        """
        footer = f"{len(self._subjects)} predictions; figures are of the brain"
        write_page(self._subjects, path, footer, order=lambda one: one.figures.get(_PSNR, math.inf))
