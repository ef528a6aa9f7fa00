"""How often a native T1 looks contrast-enhanced, and at which brightness of its veins one does.

    python benchmarks/enhancement.py --data $HAGAN_TEST_DATA

The part of the middle of the brain that is brighter than white matter (`runtime/enhancement.py`),
on every T1 of the data folder. None of them is after contrast agent: into each third whole head of
`lgg_mni` veins are drawn (inner cerebral veins, straight sinus, choroid plexus, in MNI coordinates)
of 1.4 and 1.7 times the brightness of white matter. That shows what the check would see, and not
what scanners show. Prints Markdown.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.runtime.enhancement import BRIGHT_SHARE
from hagan_clinic.runtime.plausibility import deep_bright_share
from hagan_clinic.volume import Grid, Volume

GAINS = (1.4, 1.7)
SERIES = ("brainix", "sag_mprage", "xa30_enhanced", "decubitus/HFS", "decubitus/HFP")

# Start, end and radius in mm: inner cerebral, thalamostriate and basal veins, choroid plexus of
# both sides; great cerebral vein and straight sinus.
VEINS = [
    *(
        ((side * x, y, z), (side * u, v, w), radius)
        for side in (-1, 1)
        for (x, y, z), (u, v, w), radius in (
            ((2, 0, 18), (2, -35, 12), 1.4),
            ((12, 5, 15), (4, 0, 18), 1.0),
            ((25, -5, -18), (8, -35, 0), 1.2),
            ((22, -38, 14), (12, -25, 20), 2.2),
            ((12, -25, 20), (4, 0, 14), 1.3),
        )
    ),
    ((0, -35, 12), (0, -43, 10), 2.5),
    ((0, -43, 10), (0, -85, -8), 2.5),
]


def veins(grid: Grid) -> NDArray[np.float32]:
    """The part of each voxel of a grid in MNI space that `VEINS` take."""
    places = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T
    places += grid.affine[:3, 3]
    part = np.zeros(grid.shape, np.float32)
    for start, end, radius in VEINS:
        along = np.subtract(end, start)
        share = np.clip((places - start) @ along / (along @ along), 0, 1)
        distance = np.linalg.norm(places - start - share[..., None] * along, axis=-1)
        part = np.maximum(part, np.clip((radius - distance) / grid.spacing[0] + 0.5, 0, 1))
    return part


def volumes(data: Path) -> Iterator[tuple[str, Volume]]:
    """Every T1 with the row of the table that it belongs to."""
    mask = read(data / "lgg_mni" / "brain_mask.nii.gz")
    brain, part = mask.array > 0, veins(mask.grid)
    with (data / "lgg_mni" / "split.csv").open(newline="") as table:
        subjects = [row["subject"] for row in csv.DictReader(table)]
    for number, subject in enumerate(subjects):
        head = read(data / "lgg_mni" / subject / f"{subject}_t1.nii.gz")
        stripped = head.with_array(head.array * brain)
        yield "lgg_mni, head", head
        yield "lgg_mni, stripped", stripped
        if not number % 3:
            white = np.percentile(stripped.array[stripped.array > 0], 85)
            for gain in GAINS:
                bright = head.array + part * np.maximum(gain * white - head.array, 0)
                yield f"lgg_mni, head with veins of {gain:g}", head.with_array(bright)
    with (data / "brats_1mm" / "cohort.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            yield "brats_1mm, stripped", read(data / "brats_1mm" / row["t1"])
    for folder in sorted((data / "pairs_1mm").iterdir()):
        yield "pairs_1mm, stripped", read(folder / f"{folder.name}_t1.nii.gz")
    for series in SERIES:
        yield "DICOM series, head", read_series(data / "dicom" / series, "t1").volume


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    shares: dict[str, list[float]] = defaultdict(list)
    for group, volume in volumes(parser.parse_args().data):
        shares[group].append(deep_bright_share(volume))
    print(f"| T1s | number | warned of (over {BRIGHT_SHARE:.2%}) | least | median | most |")
    print("|---|---|---|---|---|---|")
    for group, found in shares.items():
        warned = sum(share > BRIGHT_SHARE for share in found)
        low, middle, high = np.percentile(found, (0, 50, 100))
        print(f"| {group} | {len(found)} | {warned} | {low:.2%} | {middle:.2%} | {high:.2%} |")


if __name__ == "__main__":
    main()
