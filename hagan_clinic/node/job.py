"""A series in the spool: where its files are, and what is known of it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DamagedError(Exception):
    """A series whose files in the spool are not as the node left them."""


@dataclass(frozen=True)
class Job:
    """A series in the spool.

    Attributes:
        name: Of its folder.
        state: One of `spool.STATES`.
        folder: Where it is now.
    """

    name: str
    state: str
    folder: Path

    @property
    def source(self) -> Path:
        """The instances as they were received."""
        return self.folder / "source"

    @property
    def result(self) -> Path:
        """The derived instances."""
        return self.folder / "result"

    @property
    def sent(self) -> Path:
        """Names of the derived instances that the archive has taken, a line each."""
        return self.folder / "sent"

    def record(self) -> dict[str, Any]:
        """What is known of it besides its files.

        Raises:
            DamagedError: It cannot be read.
        """
        try:
            facts = json.loads((self.folder / "record.json").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DamagedError(f"its record cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DamagedError("its record is not JSON") from error
        if not isinstance(facts, dict):
            raise DamagedError("its record is not a JSON object")
        return facts

    def is_due(self) -> bool:
        """Whether it has waited for as long as it was to; a clock that was set back ends it."""
        since, until = self.record().get("wait", (0.0, 0.0))
        return not since <= time.time() < until

    def changed(self) -> float:
        """When instances came last, in seconds since the epoch."""
        return self.source.stat().st_mtime
