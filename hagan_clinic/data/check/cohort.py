"""Every fault of every subject of a cohort."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from hagan_clinic.data.check.copies import copies
from hagan_clinic.data.check.exchange import exchanged
from hagan_clinic.data.check.finding import Finding, Severity
from hagan_clinic.data.check.look import Look
from hagan_clinic.data.check.outliers import outliers
from hagan_clinic.data.check.reading import look_at
from hagan_clinic.data.check.registration import registration
from hagan_clinic.data.subject import Subject


def check_images(
    subjects: Sequence[Subject],
    subsets: Mapping[str, str],
    target: str | None,
    *,
    workers: int = 2,
    progress: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Read every file of a cohort once and find what is wrong with it, by itself and among others.

    Args:
        subjects: The cohort.
        subsets: Subject -> side of the split; may be empty.
        target: Which of the sequences is the target; None where there is none.
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
    findings = [finding for _, found in results for finding in found]
    findings += check_looks(looks, target)
    wrong = {one.subject for one in findings if one.severity is Severity.ERROR}
    findings += [one for one in outliers(looks) if one.subject not in wrong]
    return sorted(findings, key=lambda one: (one.severity is not Severity.ERROR, one.subject))


def check_looks(looks: Sequence[Look], target: str | None) -> list[Finding]:
    """Copies and exchanged sequences."""
    findings = copies(looks)
    sequences = dict.fromkeys(name for look in looks for name in look.images)
    for source in sequences:
        if target is not None and source != target:
            findings += exchanged(looks, source, target)
    return findings
