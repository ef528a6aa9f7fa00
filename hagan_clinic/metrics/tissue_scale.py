"""A scale that a lesion does not bend: its fixed points are the brain's darkest and middle values.

The percentile scale of a reference (`intensity.target_window`) ends at its 99.5 percentile. A large
bright lesion holds more than the brightest 0.5 % of the brain, so that it sets the scale's end and
all healthy tissue appears darker than in a patient without one. The median moves little. A
translation's own median is put where that of its reference is, so that its brightness does not
count, and structure and contrast are compared.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST_PERCENTILE = 0.5
MIDDLE = 0.4
"""Where the median lies; 1 is 2.5 times as far from the lowest, room for lesions."""

Array = NDArray[Any]


def on_tissue_scale(image: Array, brain: Array) -> NDArray[np.float32]:
    """An image with its in-brain 0.5 percentile at 0 and its in-brain median at 0.4, clipped.

    Args:
        image: Shape (D, H, W), any units.
        brain: The mask of that shape; not empty.

    Returns:
        Values on [0, 1]. An image without contrast in the brain, such as a constant, is 0.4
        wherever it has that one value or more.
    """
    lowest, median = np.percentile(image[brain.astype(bool)], (LOWEST_PERCENTILE, 50))
    if not median > lowest:
        return np.where(image < lowest, 0, MIDDLE).astype(np.float32)
    scaled = (image.astype(np.float32) - np.float32(lowest)) * np.float32(
        MIDDLE / (median - lowest)
    )
    clipped: NDArray[np.float32] = np.clip(scaled, 0, 1)
    return clipped
