"""A fault of a cohort: whose it is, what it is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a fault matters to a training."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """A fault of a cohort.

    Attributes:
        subject: As in the cohort; empty for a fault of the whole.
        severity: An error would spoil a training; a warning is to be looked at.
        fault: Its kind, in a word.
        text: What was found, what was expected and what to do.
    """

    subject: str
    severity: Severity
    fault: str
    text: str


def error(subject: str, fault: str, text: str) -> Finding:
    """A fault that would spoil a training."""
    return Finding(subject, Severity.ERROR, fault, text)


def warning(subject: str, fault: str, text: str) -> Finding:
    """A fault to be looked at."""
    return Finding(subject, Severity.WARNING, fault, text)
