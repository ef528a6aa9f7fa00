"""Images that come more than once in a cohort, by their voxels."""

from collections import defaultdict
from collections.abc import Sequence

from hagan_clinic.data.check.finding import Finding, error, warning
from hagan_clinic.data.check.look import Look


def copies(looks: Sequence[Look]) -> list[Finding]:
    """One finding for each image that comes again: an error across the subsets of a split."""
    holders: dict[str, list[tuple[Look, str]]] = defaultdict(list)
    for look in looks:
        for sequence, digest in look.digests.items():
            holders[digest].append((look, sequence))
    findings = []
    for (first, sequence), *others in holders.values():
        for look, again in others:
            findings.append(_finding(first, sequence, look, again))
    return findings


def _finding(first: Look, sequence: str, look: Look, again: str) -> Finding:
    if look is first:
        text = f"{again} holds the voxels of {sequence}; expected two sequences: give the right one"
        return error(look.name, "duplicate", text)
    text = f"{again} holds the voxels of {sequence} of {first.name}"
    if look.subset != first.subset:
        return error(
            look.name,
            "duplicate",
            f"{text}: one is in {first.subset}, the other in {look.subset} of the split, so what "
            "is measured was learnt; remove one",
        )
    of = "the same" if look.patient == first.patient else "another"
    return warning(look.name, "duplicate", f"{text}, {of} patient; remove one")
