"""The named errors of the toolkit and the exit codes that the command line gives them.

A message says what was found, what was expected and what to do, in one line.
"""

from collections.abc import Sequence
from typing import ClassVar

_SHOWN = 5


class HaganClinicError(Exception):
    """Base of every error that the toolkit raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(HaganClinicError):
    """An input volume, cohort or option cannot be used."""

    exit_code = 3


class UnsuitableError(InputError):
    """A scan that is sound, and not one for this model: nobody need look at it."""


class ModelError(HaganClinicError):
    """A model file is missing, damaged or does not fit the request."""

    exit_code = 4


class DeviceError(HaganClinicError):
    """The requested device cannot be used, or its memory does not suffice."""

    exit_code = 5


class OutputError(HaganClinicError):
    """An output cannot be written."""

    exit_code = 6


def some(items: Sequence[str]) -> str:
    """The first few items of a list for a message, and how many more there are."""
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
