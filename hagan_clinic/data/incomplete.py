"""What keeps subjects of a cohort from being used: a sequence missing, or in two files."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hagan_clinic.errors import InputError, some

OTHER_SEQUENCES = (
    "check and train take other sequences by --source and --target, or one alone by --image"
)
"""What to do with a cohort that lacks a sequence altogether."""


class Lack(StrEnum):
    """What is wrong with the files of a subject."""

    MISSING = "missing"
    SEVERAL = "several"
    REPEATED = "repeated"


_ADVICE = {
    Lack.MISSING: "add the file, or leave the subject out by a CSV",
    Lack.SEVERAL: "name one in a CSV, or remove the others",
    Lack.REPEATED: "give each examination its own name in a column 'subject'",
}


@dataclass(frozen=True)
class Incomplete:
    """A subject that a cohort names, and why it cannot be used.

    Attributes:
        subject: Its name.
        lack: What is wrong, in a word.
        found: The same, after the subject's name.
    """

    subject: str
    lack: Lack
    found: str

    @property
    def advice(self) -> str:
        """What to do."""
        return _ADVICE[self.lack]


def refuse(incomplete: Sequence[Incomplete], of: int, path: Path) -> None:
    """Refuse a cohort of which some subjects cannot be used, with all of them in one error.

    Args:
        incomplete: What is wrong.
        of: How many subjects the cohort names.
        path: Of the cohort.

    Raises:
        InputError: There is anything.
    """
    if not incomplete:
        return
    count = len({one.subject for one in incomplete})
    told = some([f"{one.subject} {one.found}" for one in incomplete])
    advice = "; ".join(dict.fromkeys(one.advice for one in incomplete))
    raise InputError(
        f"{count} of {of} subjects of {path} are incomplete or ambiguous: {told}; {advice}"
    )
