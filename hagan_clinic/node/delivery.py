"""How a result is delivered, whatever the protocol: what a sender does and how it fails."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

Taken = Callable[[Path], None]
"""Called with each file that the archive has taken."""


class UnreachableError(Exception):
    """The archive cannot take anything now; the message holds nothing of the patient."""


class CutOffError(Exception):
    """The archive gave up in the middle of a series, perhaps because of it.

    The message holds nothing of the patient.
    """


class RefusedError(Exception):
    """The archive does not want an instance; the message holds nothing of the patient."""


class Sender(Protocol):
    """Delivers files to one archive."""

    def store(self, paths: Sequence[Path], taken: Taken) -> None:
        """Send the files, telling `taken` of each that the archive has.

        Raises:
            UnreachableError: Try later.
            CutOffError: Try this series later, and others meanwhile.
            RefusedError: An instance is not wanted.
        """
