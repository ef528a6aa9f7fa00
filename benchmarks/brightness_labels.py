"""A segmenter of stripped T1 brains by brightness, for `--segmenter`.

hagan-clinic evaluate encoding brain COHORT --segmenter "python benchmarks/brightness_labels.py"
"""

import sys
from pathlib import Path

import numpy as np

from hagan_clinic.evaluation.structures import structure_masks
from hagan_clinic.imageio import read, write
from hagan_clinic.volume import to_canonical

LABELS = {1: "fluid", 2: "deep fluid", 3: "darker tissue", 4: "brighter tissue"}
"""Deep fluid is a part of the fluid, and marked as deep alone."""


def main(image: Path, labels: Path) -> None:
    """Mark the structures of an image in [0, 1]."""
    volume = to_canonical(read(image))
    masks = structure_masks(volume.array, volume.spacing)
    marked = np.zeros(volume.array.shape, np.float32)
    for label, structure in LABELS.items():
        marked[masks[structure]] = label
    write(volume.with_array(marked), labels, description="structures by brightness")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
