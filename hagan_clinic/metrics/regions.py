"""The figures of predictions of one reference, region by region."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.metrics.image_quality import checked, window_box
from hagan_clinic.metrics.similarity import DATA_RANGE, SimilarityTo
from hagan_clinic.metrics.tissue_scale import on_tissue_scale

BRAIN, WHOLE = "brain", "whole"
TISSUE = "brain, tissue scale"
"""In the brain, reference and prediction both on `tissue_scale`."""

Array = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """How close a prediction is to its reference over one region (`metrics.image_quality`).

    MS-SSIM is an average over a box and not over a region: the brain's is that of both images
    zeroed outside the brain and cut to the box around it, and parts of the brain have none (NaN).
    """

    psnr: float
    ssim: float
    nmse: float
    ms_ssim: float = float("nan")


class Reference:
    """A reference with its regions; what the figures need of it alone is computed once.

    Args:
        image: Shape (D, H, W), on [0, 1].
        brain: The mask of that shape, outside of which SSIM sees both images as zero.
        parts: Named parts of the brain; an empty one gets no figures.

    Raises:
        InputError: As `metrics.image_quality.psnr`; NMSE is undefined where the reference is zero
            all over the brain.
    """

    def __init__(self, image: Array, brain: Array, parts: Mapping[str, Array]) -> None:
        _, self.image, checked_brain = checked(image, image, brain)
        assert checked_brain is not None
        self._box = window_box(checked_brain)
        self._brain = checked_brain[self._box]
        self._in_brain = SimilarityTo(self._masked(self.image))
        self._tissue = self._on_tissue_scale(self.image)
        self._of_tissue = SimilarityTo(self._tissue)
        self._everywhere = SimilarityTo(self.image)
        self._parts = {
            name: part[self._box].astype(bool) & self._brain
            for name, part in parts.items()
            if (part.astype(bool) & checked_brain).any()
        }
        if not self._masked(self.image).any():
            raise InputError(
                "the reference is zero all over the brain, so NMSE is undefined; expected a "
                "reference with signal in the brain"
            )

    def score(self, prediction: Array) -> dict[str, Scores]:
        """Figures in the brain, on both scales, in each of its parts, and in the whole volume.

        Args:
            prediction: The reference's shape; clipped to [0, 1].

        Raises:
            InputError: Another shape, or a value that is not finite.
        """
        prediction, _, _ = checked(prediction, self.image, None)
        similarity = self._in_brain.compare(self._masked(prediction))
        squares = np.square(prediction[self._box].astype(np.float64) - self.image[self._box])
        energy = np.square(self.image[self._box].astype(np.float64))
        scores = {
            name: _scores(squares[region], energy[region], similarity.map[region])
            for name, region in {BRAIN: self._brain, **self._parts}.items()
        }
        brain = scores[BRAIN]
        scores[BRAIN] = Scores(brain.psnr, brain.ssim, brain.nmse, similarity.multi_scale())
        tissue = self._on_tissue_scale(prediction)
        scores[TISSUE] = _scores(
            np.square(tissue[self._brain].astype(np.float64) - self._tissue[self._brain]),
            np.square(self._tissue[self._brain].astype(np.float64)),
            self._of_tissue.compare(tissue).map[self._brain],
        )
        everywhere = self._everywhere.compare(prediction)
        whole = _scores(
            np.square(prediction.astype(np.float64) - self.image),
            np.square(self.image.astype(np.float64)),
            everywhere.map,
        )
        scores[WHOLE] = Scores(whole.psnr, whole.ssim, whole.nmse, everywhere.multi_scale())
        return scores

    def _on_tissue_scale(self, image: Array) -> Array:
        return np.asarray(on_tissue_scale(image[self._box], self._brain) * self._brain)

    def _masked(self, image: Array) -> Array:
        return np.asarray(image[self._box] * self._brain)


def _scores(
    squares: NDArray[np.float64], energy: NDArray[np.float64], similarity: NDArray[np.float64]
) -> Scores:
    """Figures of the voxels of one region."""
    mean = float(squares.mean())
    total = float(energy.sum())
    return Scores(
        psnr=float(10 * np.log10(DATA_RANGE**2 / mean)) if mean else float("inf"),
        ssim=float(similarity.mean()),
        nmse=float(squares.sum()) / total if total else float("nan"),
    )
