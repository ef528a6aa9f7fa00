"""Cohorts and splits as CSV files."""

import csv
from collections.abc import Sequence
from pathlib import Path

from hagan_clinic.data.incomplete import Incomplete, Lack
from hagan_clinic.data.layouts import name_parts
from hagan_clinic.data.subject import Subject, patient_of
from hagan_clinic.errors import InputError


def read_table(file: Path, required: Sequence[str], advice: str = "") -> list[dict[str, str]]:
    """The rows of a CSV with a header, values without surrounding space, "" where there is none.

    Args:
        file: The CSV.
        required: Columns that it must have.
        advice: What else can be done where it lacks one.

    Raises:
        InputError: The file is no CSV in UTF-8, or lacks a required column.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or ())
            rows = [{name: (row[name] or "").strip() for name in columns} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is not a CSV in UTF-8 that can be read: {error}") from error
    if not set(required) <= set(columns):
        raise InputError(
            f"{file} has the columns {columns}; expected {list(required)}, separated by commas"
            + (f"; {advice}" if advice else "")
        )
    return rows


def from_csv(
    file: Path, wanted: Sequence[str], advice: str = ""
) -> tuple[list[Subject], list[Incomplete]]:
    """The subjects of a CSV with a column for each wanted sequence, paths relative to its folder.

    Args:
        file: The CSV.
        wanted: Names of the sequences.
        advice: What else can be done where a column is missing.

    Returns:
        The subjects, each with the images it has; and what is wrong with those of which a file is
        missing, or that come twice.

    Raises:
        InputError: No CSV, a missing column, or no subject.
    """
    rows = read_table(file, wanted, advice)
    if not rows:
        raise InputError(f"{file} lists no subject; expected one on each line after the header")
    subjects: dict[str, Subject] = {}
    incomplete = []
    for line, row in enumerate(rows, start=2):
        named = {
            column: file.parent / row[column]
            for column in (*wanted, "mask", "seg")
            if row.get(column)
        }
        stem = next((named[column] for column in wanted if column in named), None)
        name = row.get("subject") or (stem and (name_parts(stem)[0] or stem.parent.name))
        name = name or f"line {line}"
        if name in subjects:
            incomplete.append(Incomplete(name, Lack.REPEATED, f"comes twice (line {line})"))
            continue
        files = {column: path for column, path in named.items() if path.is_file()}
        incomplete += [
            Incomplete(
                name,
                Lack.MISSING,
                f"lacks {column} (line {line}: "
                + (f"{named[column]} does not exist)" if column in named else "no file)"),
            )
            for column in dict.fromkeys((*wanted, *named))
            if column not in files
        ]
        subjects[name] = Subject(
            name=name,
            patient=row.get("patient") or patient_of(name),
            images={column: files[column] for column in wanted if column in files},
            mask=files.get("mask"),
            lesion=files.get("seg"),
            split=row.get("split") or None,
            values={name: value for name, value in row.items() if name not in named},
        )
    return list(subjects.values()), incomplete
