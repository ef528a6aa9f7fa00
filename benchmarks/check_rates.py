"""How many faults `hagan-clinic check` finds, and how often it doubts a sound pair.

    python benchmarks/check_rates.py $HAGAN_TEST_DATA/lgg_mni $HAGAN_TEST_DATA/both.csv

A cohort of T1 and FLAIR that is taken to be sound is checked as it is: what is told then is a false
alarm, unless the cohort has that fault. Then one fault at a time is made, in every subject in turn
and always among all the others as they are: the FLAIR rolled along an axis; T1 and FLAIR exchanged;
the FLAIRs of two subjects of one grid interchanged (found if both are named); a copy of the subject
on the other side of the split. Prints Markdown.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hagan_clinic.data.check import check_images
from hagan_clinic.data.check.copies import copies
from hagan_clinic.data.check.exchange import agreements, difference_map
from hagan_clinic.data.check.finding import Severity
from hagan_clinic.data.check.look import Look, coarse
from hagan_clinic.data.check.pairing import best_pairing, edge_picture, likenesses
from hagan_clinic.data.check.reading import look_at
from hagan_clinic.data.check.registration import registration
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.subject import Subject
from hagan_clinic.imageio import read
from hagan_clinic.volume import to_axes_of, to_canonical

MILLIMETRES = (9, 18, 36, 75)
SOURCE, TARGET = "t1", "flair"

Row = tuple[str, int, int]
"""What was done, how often it was found, of how many."""


def rolled(subjects: Sequence[Subject], looks: Sequence[Look]) -> Iterator[Row]:
    """The target moved along each axis."""
    found: Counter[int] = Counter()
    for subject, look in zip(subjects, looks, strict=True):
        source, target = (to_canonical(read(subject.images[name])) for name in (SOURCE, TARGET))
        target = to_axes_of(target, source.grid)
        for distance in MILLIMETRES:
            for axis in range(3):
                moved = np.roll(target.array, round(distance / target.spacing[axis]), axis)
                images = {**look.images, TARGET: coarse(moved, target.spacing)[0]}
                found[distance] += bool(registration(replace(look, images=images)))
    for distance in MILLIMETRES:
        yield f"FLAIR rolled by {distance} mm", found[distance], 3 * len(looks)


def exchanged(looks: Sequence[Look]) -> Row:
    """Source and target of one subject exchanged, which turns its map of differences round."""
    maps = [difference_map(look, SOURCE, TARGET) for look in looks]
    array = np.stack([one for one in maps if one is not None])
    found = 0
    for place in range(len(array)):
        changed = array.copy()
        changed[place] *= -1
        found += bool(agreements(changed)[place] < 0)
    return "T1 and FLAIR exchanged", found, len(array)


def interchanged(looks: Sequence[Look]) -> Row:
    """The targets of two subjects that lie on grids of one shape."""
    sources = np.stack([edge_picture(look, SOURCE) for look in looks])
    targets = np.stack([edge_picture(look, TARGET) for look in looks])
    shapes = [(look.images[TARGET].shape, look.spacing) for look in looks]
    found = tried = 0
    for one in range(len(looks)):
        others = [place for place in range(one + 1, len(looks)) if shapes[place] == shapes[one]]
        if not others:
            continue
        other, tried = others[0], tried + 1
        changed = targets.copy()
        for own, its in ((one, other), (other, one)):
            images = {**looks[own].images, TARGET: looks[its].images[TARGET]}
            changed[own] = edge_picture(replace(looks[own], images=images), TARGET)
        own, best = best_pairing(likenesses(sources, changed))
        named = set(own[own != best].tolist())
        found += {one, other} <= named
    return "FLAIRs of two subjects interchanged", found, tried


def duplicated(looks: Sequence[Look]) -> Row:
    """A copy under another name on the other side."""
    found = 0
    for look in looks:
        one, other = replace(look, subset="train"), replace(look, name="copy", subset="test")
        told = copies([one, *(each for each in looks if each is not look), other])
        found += any(each.subject == "copy" and each.severity is Severity.ERROR for each in told)
    return "a copy on the other side of the split", found, len(looks)


def main() -> None:
    """Print the tables of each cohort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohorts", type=Path, nargs="+")
    for cohort in parser.parse_args().cohorts:
        subjects = find_cohort(cohort, (SOURCE,), TARGET)
        start = time.perf_counter()
        findings = check_images(subjects, {}, TARGET, workers=os.cpu_count() or 1)
        seconds = time.perf_counter() - start
        print(f"\n{cohort.stem}: {len(subjects)} subjects, checked in {seconds:.1f} s\n")
        told = Counter((one.fault, str(one.severity)) for one in findings)
        print("| told of the cohort as it is | subjects |\n|---|---|")
        for (fault, severity), count in sorted(told.items()):
            print(f"| {fault} ({severity}) | {count} |")
        looks = [look for look in (look_at(one)[0] for one in subjects) if look is not None]
        assert len(looks) == len(subjects)  # what cannot be read is no sound cohort
        print("\n| fault made | found |\n|---|---|")
        for what, found, tried in [
            *rolled(subjects, looks),
            exchanged(looks),
            interchanged(looks),
            duplicated(looks),
        ]:
            print(f"| {what} | {found} of {tried} ({found / tried:.0%}) |", flush=True)


if __name__ == "__main__":
    main()
