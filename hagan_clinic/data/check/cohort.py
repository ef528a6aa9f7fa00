"""Every fault of every subject of a cohort."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from hagan_clinic.data.check.copies import copies
from hagan_clinic.data.check.exchange import exchanged
from hagan_clinic.data.check.finding import Finding, Severity, error
from hagan_clinic.data.check.look import Look
from hagan_clinic.data.check.outliers import outliers
from hagan_clinic.data.check.pairing import mispaired
from hagan_clinic.data.check.reading import look_at
from hagan_clinic.data.check.registration import registration
from hagan_clinic.data.incomplete import Incomplete
from hagan_clinic.data.subject import Subject


def check_images(
    subjects: Sequence[Subject],
    subsets: Mapping[str, str],
    target: str | None,
    *,
    incomplete: Sequence[Incomplete] = (),
    workers: int = 2,
    progress: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Read every file of a cohort once and find what is wrong with it, by itself and among others.

    Args:
        subjects: The cohort.
        subsets: Subject -> side of the split; may be empty.
        target: Which of the sequences is the target; None where there is none.
        incomplete: Which of them lack an image, or have several for one.
        workers: Threads.
        progress: Called after each subject, by several threads.

    Returns:
        The faults, errors first, then by subject.
    """

    def one(subject: Subject) -> tuple[Look | None, list[Finding]]:
        look, findings = look_at(subject, subsets.get(subject.name))
        if look is not None:
            findings += registration(look)
            _ = look.inside  # in this thread
        progress()
        return look, findings

    with ThreadPoolExecutor(max(1, workers)) as pool:
        results = list(pool.map(one, subjects))
    looks = [look for look, _ in results if look is not None]
    findings = [error(one.subject, one.lack, f"{one.found}; {one.advice}") for one in incomplete]
    findings += [finding for _, found in results for finding in found]
    findings += check_looks(looks, target, apart=_wrong(findings))
    wrong = _wrong(findings)
    findings += [one for one in outliers(looks) if one.subject not in wrong]
    return sorted(findings, key=lambda one: (one.severity is not Severity.ERROR, one.subject))


def check_looks(
    looks: Sequence[Look], target: str | None, *, apart: Collection[str] = ()
) -> list[Finding]:
    """Copies, exchanged sequences, and targets of other subjects.

    Args:
        looks: The subjects.
        target: The target sequence, None where there is none.
        apart: The subjects whose sequences do not lie in one place.
    """
    findings = copies(looks)
    sequences = dict.fromkeys(name for look in looks for name in look.images)
    for source in sequences:
        if target is None or source == target:
            continue
        doubted = exchanged(looks, source, target)
        findings += doubted
        # Only what lies in one place, each sequence among its own kind, tells heads apart.
        left_out = {*apart, *(one.subject for one in doubted)}
        if "" not in left_out:
            reported = [look for look in looks if look.name not in left_out]
            findings += mispaired(reported, source, target)
    return findings


def _wrong(findings: Sequence[Finding]) -> set[str]:
    return {one.subject for one in findings if one.severity is Severity.ERROR}
