"""The part of the check that costs seconds, on the volumes that a training prepares anyway."""

from collections.abc import Mapping, Sequence

from hagan_clinic.data.check.cohort import check_looks
from hagan_clinic.data.check.finding import Finding
from hagan_clinic.data.check.look import Look, coarse
from hagan_clinic.data.check.reading import digest
from hagan_clinic.data.check.registration import registration
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.stored import opened


def check_prepared(
    subsets: Mapping[str, Sequence[PreparedSubject]],
    sources: Sequence[str],
    target: str | None,
) -> list[Finding]:
    """Copies, also across the split, and sequences exchanged or not registered.

    Args:
        subsets: Side of the split -> its subjects.
        sources: The source sequences, in channel order.
        target: The target sequence, None where there is none.
    """
    looks = [
        _look(subject, subset, sources, target)
        for subset, subjects in subsets.items()
        for subject in subjects
    ]
    findings = [finding for look in looks for finding in registration(look)]
    return findings + check_looks(looks, target, apart={one.subject for one in findings})


def _look(
    subject: PreparedSubject, subset: str, sources: Sequence[str], target: str | None
) -> Look:
    stored = opened(subject.file)
    arrays = dict(zip(sources, stored, strict=False))
    if target is not None and subject.has_target:
        arrays[target] = stored[-2]
    shown = {name: array for name, array in arrays.items() if array.min() < array.max()}
    coarsened = {name: coarse(array, subject.spacing) for name, array in shown.items()}
    brain, spacing = coarse(stored[-1], subject.spacing)
    return Look(
        name=subject.name,
        patient=subject.patient,
        subset=subset,
        images={name: array for name, (array, _) in coarsened.items()},
        spacing=spacing,
        brain=brain > 0.5,
        digests={name: digest(array) for name, array in shown.items()},
    )
