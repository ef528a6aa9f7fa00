"""How often a T1 is doubted by mistake, and how often another image passes for one.

    python benchmarks/input_checks.py --data $HAGAN_TEST_DATA

The warning "does not look like a T1" (`runtime/plausibility.py`), on every T1 and FLAIR of the data
folder as it is and, where there is a brain mask, skull-stripped, and on a chest CT. Its limit is a
round number between the T1s and FLAIRs of these same patients, so that on other scanners it may err
more often. Prints Markdown.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.imageio import read
from hagan_clinic.preparation import prepare
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.plausibility import image_warnings
from hagan_clinic.volume import Volume

# As the bundled model prepares its sources.
RECIPE = Recipe(
    sources=("t1",), target="flair", spacing=(1.5,) * 3, multiple=16, halo=0, interval_factor=0.0
)


@dataclass(frozen=True, eq=False)
class Image:
    """An image, what it shows, and the row of the table it belongs to."""

    group: str
    sequence: str
    volume: Volume


def images(data: Path) -> Iterator[Image]:
    """Read them one after the other."""
    brain = read(data / "lgg_mni" / "brain_mask.nii.gz").array > 0
    with (data / "lgg_mni" / "split.csv").open(newline="") as table:
        splits = {row["subject"]: row["split"] for row in csv.DictReader(table)}
    for subject, split in splits.items():
        for sequence in ("t1", "flair"):
            head = read(data / "lgg_mni" / subject / f"{subject}_{sequence}.nii.gz")
            yield Image(f"lgg_mni, {split}, head", sequence, head)
            stripped = head.with_array(head.array * brain)
            yield Image(f"lgg_mni, {split}, stripped", sequence, stripped)
    for folder in sorted((data / "pairs_1mm").iterdir()):
        for sequence in ("t1", "flair"):
            path = folder / f"{folder.name}_{sequence}.nii.gz"
            yield Image("pairs_1mm, stripped", sequence, read(path))
    yield Image("chest CT", "ct", read(data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()

    doubted: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for image in images(arguments.data):
        prepared = prepare([image.volume], RECIPE)
        warned = bool(image_warnings("t1", prepared.array[0], prepared.grid.spacing))
        doubted[image.group, image.sequence == "t1"].append(warned)
    print("| images | T1s doubted by mistake | other images that passed for a T1 |")
    print("|---|---|---|")
    for group in dict.fromkeys(group for group, _ in doubted):
        t1, other = doubted[group, True], doubted[group, False]
        passed = len(other) - sum(other)
        print(f"| {group} | {sum(t1)} of {len(t1)} | {passed} of {len(other)} |")


if __name__ == "__main__":
    main()
