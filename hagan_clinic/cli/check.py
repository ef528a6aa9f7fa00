"""`hagan-clinic check`: what is wrong with a cohort, before hours of training."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hagan_clinic.cli.printing import say, show_table
from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    from hagan_clinic.data.check import Finding
    from hagan_clinic.data.subject import Subject

_EXAMPLE = """\b
Example:
  hagan-clinic check cohort --source t1 --target flair -o faults.csv
"""


@click.command(epilog=_EXAMPLE)
@click.argument("cohort", type=click.Path(path_type=Path))
@click.option("--source", multiple=True, help="Sequence to translate from; repeat for several.")
@click.option("--target", default="flair", show_default=True, help="Sequence to translate to.")
@click.option("--image", help="A single sequence, as for unconditional training.")
@click.option("--mask", type=click.Path(path_type=Path), help="One brain mask for all subjects.")
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    help="CSV of subject and split (train, calibration, test).",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV file of the faults.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print no table, and nothing if nothing is wrong."
)
def command(
    cohort: Path,
    source: tuple[str, ...],
    target: str,
    image: str | None,
    mask: Path | None,
    split: Path | None,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """List every fault of COHORT: a folder (BraTS or BIDS layout) or a CSV file.

    Files that cannot be read, empty images, sequences on different grids, not registered or
    exchanged, and copies across the split are errors, and the exit code is 3. Warnings alone (other
    copies, contrast agent, a brain cut by the field of view, unusual grey values) leave it at 0.
    """
    from hagan_clinic.data.check import Severity, check_images
    from hagan_clinic.data.cohort import search_cohort
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.progress import counted
    from hagan_clinic.runtime.session import usable_cpus

    sources, wanted = ((image,), None) if image else (source or ("t1",), target)
    subjects, incomplete = search_cohort(cohort, sources, wanted, mask)
    subsets = _subsets(subjects, split)
    if output is not None:
        inputs = (cohort, split) if split else (cohort,)
        check_output(output, inputs, overwrite=overwrite, suffixes=(".csv",))
    with counted("checking", len(subjects), quiet=quiet) as progress:
        findings = check_images(
            subjects,
            subsets,
            wanted,
            incomplete=incomplete,
            workers=usable_cpus(),
            progress=progress,
        )
    if output is not None:
        from hagan_clinic.imageio import write_text

        write_text(_as_csv(findings), output)
    if findings and not quiet:
        show_table(
            ("subject", "severity", "fault", "what to do"),
            [(one.subject or "all", one.severity, one.fault, one.text) for one in findings],
        )
    errors = sum(one.severity is Severity.ERROR for one in findings)
    result = f"{_number(errors, 'error')} and {_number(len(findings) - errors, 'warning')}"
    checked = _number(len(subjects), "subject")
    if errors:
        raise InputError(f"{result} in {checked}; correct the errors before training")
    if findings or not quiet:
        say(f"{checked}: {result}")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _subsets(subjects: Sequence[Subject], split: Path | None) -> dict[str, str]:
    """Subject -> subset of the split, of the file or of the cohort's column, if there is either."""
    from hagan_clinic.data.split import read_split, split_by_column

    sides = read_split(split, subjects) if split else split_by_column(subjects)
    if sides is None:
        return {}
    return {one.name: subset for subset, side in sides.subsets().items() for one in side}


def _as_csv(findings: Sequence[Finding]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("subject", "severity", "fault", "text"))
    writer.writerows((one.subject, one.severity, one.fault, one.text) for one in findings)
    return text.getvalue()
