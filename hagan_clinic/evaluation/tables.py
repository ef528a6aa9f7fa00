"""Tables that are printed and written alike."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A title, a header and cells, all as text.

    Attributes:
        title: One line; also the Markdown heading.
        header: Of each column.
        rows: Cells.
        note: What has to be said beside the values; empty for nothing.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """As a section of a Markdown file."""
        lines = [f"## {self.title}", ""]
        if self.rows:
            lines += [f"| {' | '.join(self.header)} |", "|---" * len(self.header) + "|"]
            lines += [f"| {' | '.join(row)} |" for row in self.rows]
            lines += [""]
        if self.note:
            lines += [self.note, ""]
        return "\n".join(lines)


def document(title: str, opening: str, tables: Sequence[Table]) -> str:
    """A Markdown file of tables."""
    return "\n".join([f"# {title}", "", opening, "", *(table.markdown() for table in tables)])


def number(value: float, digits: int) -> str:
    """A number for a table, a dash for one that there is not."""
    return "–" if value != value else f"{value:.{digits}f}"


def p_value(p: float) -> str:
    """As papers write it."""
    return "–" if p != p else "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def as_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A CSV, in which a float that is NaN is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if cell != cell else _cell(cell) for cell in row])
    return text.getvalue()


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
