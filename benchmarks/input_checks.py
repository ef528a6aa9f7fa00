"""How often a T1 is doubted by mistake, and how often another image passes for one.

    python benchmarks/input_checks.py --data $HAGAN_TEST_DATA

The warnings of `runtime/plausibility.py`, on every T1 and FLAIR of the data folder as it is and,
where there is a brain mask, skull-stripped, and on a chest CT: "does not look like a T1" and the
volume of tissue, that the anatomy does not fit the header's axes, and that the box of the bundled
model cuts the head. Their limits are round numbers between what these same patients and the others
show, so that on other scanners they may err more often. Every T1 is judged in the five wrong orders
of its axes too, under an affine that knows none of them. Prints Markdown.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from hagan_clinic.imageio import read
from hagan_clinic.preparation import prepare
from hagan_clinic.runtime import DEFAULT_MODEL, find_model, load_model
from hagan_clinic.runtime.plausibility import box_warnings, image_warnings
from hagan_clinic.volume import Volume, to_canonical


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
    for folder in sorted((data / "brats_1mm").iterdir()):
        for sequence in ("t1", "flair") if folder.is_dir() else ():
            path = folder / f"{folder.name}_{sequence}.nii.gz"
            yield Image("brats_1mm, stripped", sequence, read(path))
    yield Image("chest CT", "ct", read(data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz"))


def wrong_orders(volume: Volume) -> Iterator[tuple[bool, Volume]]:
    """The array in every wrong order of its axes, and whether left and right are elsewhere then."""
    canonical = to_canonical(volume)
    for order in list(permutations(range(3)))[1:]:
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2] = np.array(canonical.spacing)[list(order)]
        affine[3, 3] = 1
        yield order[2] != 2, Volume(canonical.array.transpose(order), affine)


def axes_doubted(volume: Volume) -> bool:
    """Whether a head is told to lie otherwise than its header says."""
    return any("axes in its header" in told for told in image_warnings("t1", volume))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()

    recipe = load_model(find_model(DEFAULT_MODEL)).recipe
    doubted: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    axes: dict[tuple[str, bool | None], list[bool]] = defaultdict(list)
    cut: dict[str, list[bool]] = defaultdict(list)
    unseen: dict[str, float] = defaultdict(float)
    for image in images(arguments.data):
        is_t1 = image.sequence == "t1"
        doubted[image.group, is_t1].append(bool(image_warnings("t1", image.volume)))
        axes[image.group, None].append(axes_doubted(image.volume))
        for mirrored_elsewhere, wrong in wrong_orders(image.volume) if is_t1 else ():
            axes[image.group, mirrored_elsewhere].append(axes_doubted(wrong))
        if is_t1 or image.sequence == "ct":
            prepared = prepare([image.volume], recipe)
            cut[image.group].append(bool(box_warnings(prepared, masked=False)))
            unseen[image.group] = max(unseen[image.group], prepared.unseen)
    box = " x ".join(f"{n * s:.0f}" for n, s in zip(recipe.box, recipe.spacing, strict=True))
    print(f"The model's box is {box} mm (D, H, W).\n")
    print(
        "| images | T1s doubted by mistake | other images that passed for a T1 "
        "| axes doubted by mistake | left and right elsewhere, as warned "
        "| front and top exchanged, as warned "
        "| cut by the box, as warned | most of the head's top outside the box |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for group in cut:
        t1, other = doubted[group, True], doubted[group, False]
        passed = len(other) - sum(other)
        print(
            f"| {group} | {sum(t1)} of {len(t1)} | {passed} of {len(other)} "
            + "".join(
                f"| {sum(axes[group, kind])} of {len(axes[group, kind])} "
                for kind in (None, True, False)
            )
            + f"| {sum(cut[group])} of {len(cut[group])} | {unseen[group]:.1%} |"
        )


if __name__ == "__main__":
    main()
