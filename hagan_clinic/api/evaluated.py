"""What an evaluation gives: tables, warnings, and files all at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.evaluation.tables import Table
from hagan_clinic.runtime.synthesis_outputs import OutputFolder


@dataclass(frozen=True)
class Evaluated:
    """What was found, and where it is written.

    Attributes:
        folder: The folder of the files.
        files: Their names.
        tables: What was found, each with title, header, rows and note.
        warnings: What weakens it, one a line.
        remark: What it took.
    """

    folder: Path
    files: tuple[str, ...]
    tables: tuple[Table, ...]
    warnings: tuple[str, ...]
    remark: str = ""


class ReportFiles:
    """The files of a report in a folder: checked now, written at its end.

    Args:
        folder: The folder; created if missing.
        names: Of the files.
        overwrite: Replace files that exist.

    Raises:
        OutputError: One exists and may not be replaced, or the folder cannot be written.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
        self.names = names
        self._files = OutputFolder(folder, [], names, overwrite=overwrite)

    def write(self, writers: Mapping[str, str | Callable[[Path], object]]) -> None:
        """Write all files or none: texts, and what functions write to the path they are given.

        Raises:
            OutputError: A file cannot be written.
        """
        with self._files.writing() as place:
            for path in self._files.others:
                what = writers[path.name]
                if isinstance(what, str):
                    place[path].write_text(what, "utf-8")
                else:
                    what(place[path])
