"""Files of held-out subjects that training sees too, found without decoding any."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hagan_clinic.data.check.finding import Finding, error
from hagan_clinic.data.prepared import file_sha256
from hagan_clinic.data.subject import Subject


def seen_files(seen: Sequence[Subject], held_out: Sequence[Subject]) -> list[Finding]:
    """The images of held-out subjects whose files are, byte for byte, those of subjects seen.

    Only files of one size are read.

    Args:
        seen: The subjects that are trained and chosen on.
        held_out: Those that figures come from.
    """
    by_size: dict[int, list[tuple[Subject, Path]]] = defaultdict(list)
    for subject in seen:
        for file in subject.images.values():
            by_size[file.stat().st_size].append((subject, file))
    digest = lru_cache(maxsize=None)(file_sha256)
    findings = []
    for subject in held_out:
        for sequence, file in subject.images.items():
            same_size = by_size.get(file.stat().st_size, [])
            same = [one.name for one, other in same_size if digest(other) == digest(file)]
            if same:
                text = f"{sequence} is a file of {same[0]} too, which is in the training set"
                findings.append(
                    error(subject.name, "duplicate", f"{text}; take one of them out of the cohort")
                )
    return findings
