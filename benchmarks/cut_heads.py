"""How often the node holds back a head that is cut off, and a whole one by mistake.

    python benchmarks/cut_heads.py --data $HAGAN_TEST_DATA

Every fourth T1 of `lgg_mni`, every second of `brats_1mm` and all of `pairs_1mm`, taken as series of
sagittal, coronal and axial slices: whole, as 3D and as 2D ones, and as 3D ones cut off at nine
places from 10 to 90 % of the head, from either end. Prints how many are held back.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.completeness import cut_of, sampled
from hagan_clinic.intensity import foreground
from hagan_clinic.volume import to_canonical

DIRECTIONS = ("sagittal", "coronal", "axial")
PARTS = np.linspace(0.1, 0.9, 9)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    paths = [
        *sorted(data.glob("lgg_mni/*/*t1.nii.gz"))[::4],
        *sorted(data.glob("brats_1mm/*/*t1.nii.gz"))[::2],
        *sorted(data.glob("pairs_1mm/*/*t1*.nii.gz")),
    ]
    held: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for path in paths:
        volume = to_canonical(read(path))  # (D, H, W): upwards, forwards, to the right
        for axis, direction in enumerate(reversed(DIRECTIONS)):
            slices = np.moveaxis(volume.array, axis, -1)
            steps = np.delete(volume.spacing, axis), volume.spacing[axis]
            for kind, part in series_of(slices):
                of[f"{direction}, {kind}"] += 1
                for is_3d in (True, False) if kind == "whole" else (True,):
                    held[f"{direction}, {kind}"] += is_held(part, steps, 2 - axis, is_3d)
    print(f"{len(paths)} heads")
    for name in sorted(of):
        print(f"{name}: {held[name]} of {of[name]} held back")


def series_of(slices: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
    """The whole, and what is left of it when one end is cut off."""
    counts = foreground(slices[:, :, ::4]).sum(axis=(0, 1))
    occupied = np.flatnonzero(counts > 0.02 * counts.max()) * 4
    first, last = int(occupied[0]), int(occupied[-1])
    cuts = [int(first + (last - first) * part) for part in PARTS]
    return [
        ("whole", slices),
        *(("upper end off", slices[:, :, :cut]) for cut in cuts),
        *(("lower end off", slices[:, :, cut:]) for cut in cuts),
    ]


def is_held(
    slices: NDArray[np.float32], steps: tuple[NDArray[np.float64], float], axis: int, is_3d: bool
) -> bool:
    """Whether slices along an axis (0 to the right, 1 forwards, 2 upwards) are held back."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    rows, columns = (other for other in range(3) if other != axis)
    affine[rows, 0], affine[columns, 1] = steps[0]
    affine[axis, 2] = steps[1]
    count = slices.shape[2]
    return bool(cut_of(slices[:, :, sampled(count)], count, affine, is_3d=is_3d))


if __name__ == "__main__":
    main()
