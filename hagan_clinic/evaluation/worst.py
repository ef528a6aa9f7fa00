"""The subjects that a model does worst on, as pictures."""

import heapq
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.evaluation.cases import Case
from hagan_clinic.evaluation.predictors import Prediction
from hagan_clinic.evaluation.translation import TranslationRow
from hagan_clinic.runtime.exploration import pictures


class Worst:
    """Keeps the pictures of the few worst subjects of each model, as evaluation goes.

    Args:
        number: How many of each model.
        target: Name of the sequence that is predicted.
    """

    def __init__(self, number: int, target: str) -> None:
        self._number, self._target = number, target
        self._kept: dict[str, list[tuple[float, int, list[pictures.Step]]]] = {}
        self._seen = 0

    def show(self, model: str, case: Case, prediction: Prediction, row: TranslationRow) -> None:
        """Look at one prediction, with its figures in the brain."""
        if self._is_worse(model, -row.psnr):
            self._keep(model, -row.psnr, self._steps(case, prediction, row.psnr))

    def take(self, other: "Worst") -> None:
        """Look at what another keeps, of other subjects."""
        for model, entries in other._kept.items():
            for badness, _, steps in sorted(entries, key=lambda entry: entry[1]):
                if self._is_worse(model, badness):
                    self._keep(model, badness, steps)

    def _is_worse(self, model: str, badness: float) -> bool:
        kept = self._kept.setdefault(model, [])
        # Of the heap the first is the best of the worst, which leaves when a worse one comes.
        return len(kept) < self._number or badness > kept[0][0]

    def _keep(self, model: str, badness: float, steps: list[pictures.Step]) -> None:
        kept, entry = self._kept[model], (badness, self._seen, steps)
        self._seen += 1
        if len(kept) < self._number:
            heapq.heappush(kept, entry)
        else:
            heapq.heapreplace(kept, entry)

    @property
    def models(self) -> list[str]:
        """Those that have pictures."""
        return list(self._kept)

    def write(self, model: str, path: Path, footer: str) -> None:
        """Write the worst subjects of a model as PNG, the worst first."""
        title = f"{model}: the worst subjects by PSNR in the brain"
        entries = sorted(self._kept[model], reverse=True)
        steps = [step for _, _, steps in entries for step in steps]
        pictures.save_montage(pictures.draw_montage(steps, title, footer), path, title)

    def _steps(self, case: Case, prediction: Prediction, psnr: float) -> list[pictures.Step]:
        name = case.subject.name
        error = np.abs(np.clip(prediction.image, 0, 1) - case.reference)
        centre = _centre(case.tumour if case.tumour.any() else case.brain)
        shown = [
            (case.source, (name, next(iter(case.sources)))),
            (prediction.image, (f"synthetic {self._target}", f"PSNR {psnr:.1f} dB")),
            (case.reference, (f"real {self._target}", case.form)),
            (error, ("absolute error", "")),
        ]
        return [pictures.Step(_planes(image, centre), caption) for image, caption in shown]


def _centre(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(np.median(indices)) for indices in np.nonzero(mask))


def _planes(volume: NDArray[np.float32], centre: Sequence[int]) -> tuple[NDArray[np.uint8], ...]:
    """Axial, coronal and sagittal plane through a point, in radiological convention."""
    cuts = (np.take(volume, at, axis)[::-1, ::-1] for axis, at in enumerate(centre))
    return tuple(np.rint(255 * np.clip(cut, 0, 1)).astype(np.uint8) for cut in cuts)
