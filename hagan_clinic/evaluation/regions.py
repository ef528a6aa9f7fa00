"""The figures of one prediction, region by region."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hagan_clinic.evaluation.metrics import nmse, psnr, ssim_map

Array = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """How close a prediction is to its reference over one region (`evaluation.metrics`)."""

    psnr: float
    ssim: float
    nmse: float


def score_regions(
    prediction: Array,
    reference: Array,
    regions: Mapping[str, Array],
    mask: Array | None = None,
) -> dict[str, Scores]:
    """Score a prediction over each region.

    Args:
        prediction: Shape (D, H, W); clipped to [0, 1].
        reference: The same shape, on [0, 1].
        regions: Named masks of that shape; an empty one is left out of the result.
        mask: The brain, outside of which SSIM sees both images as zero; nothing is zeroed when
            left out.

    Raises:
        InputError: As `evaluation.metrics.psnr`.
    """
    similarity = ssim_map(prediction, reference, mask)
    return {
        name: Scores(
            psnr=psnr(prediction, reference, region),
            ssim=float(similarity[region.astype(bool)].mean()),
            nmse=nmse(prediction, reference, region),
        )
        for name, region in regions.items()
        if region.any()
    }
