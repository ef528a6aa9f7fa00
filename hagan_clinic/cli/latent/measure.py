"""`hagan-clinic latent measure`: what a cohort measures, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hagan_clinic.cli.printing import note

if TYPE_CHECKING:
    from hagan_clinic.data.subject import Subject

_PATH = click.Path(path_type=Path)
_RULES = {
    "emphysema": "emphysema is lung below -950 HU",
    "tissues": "fat lies from -190 to -30 HU, bone above 200",
}


@click.command(short_help="Measure brains, lesions, lungs, fat or bone of a cohort.")
@click.argument("cohort", type=_PATH)
@click.option("-o", "--output", required=True, type=_PATH, help=".csv file.")
@click.option("--image", default="t1", show_default=True, help="Sequence of the cohort.")
@click.option("--mask", type=_PATH, help="One brain mask for all subjects.")
@click.option("--stripped", is_flag=True, help="The images are skull-stripped: no mask needed.")
@click.option(
    "--threshold",
    type=float,
    help="Measure the volume brighter than this in the brain, on 0 to 1.  [default: 0.3 if needed]",
)
@click.option("--lesions", is_flag=True, help="Measure lesion label maps (seg) too.")
@click.option(
    "--emphysema", is_flag=True, help="For chest CT in HU: volume of the lungs, % below -950 HU."
)
@click.option(
    "--tissues",
    is_flag=True,
    help="For CT in HU: ml of fat, -190 to -30 HU, and bone, > 200.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    cohort: Path,
    output: Path,
    image: str,
    mask: Path | None,
    stripped: bool,
    threshold: float | None,
    lesions: bool,
    emphysema: bool,
    tissues: bool,
    overwrite: bool,
) -> None:
    """Write subject, patient, brain_ml and with --lesions lesion_ml of every subject of COHORT.

    brain_ml is the volume of the brain mask. With --threshold or --stripped, or if all masks have
    the same volume, as with one mask for a cohort aligned to a template, it is instead the volume
    brighter than the threshold in the brain, as `walk --measure-by threshold-volume` measures
    synthetic volumes. With --emphysema, for chest CT: lung_ml and emphysema_percent, as `walk
    --measure-by emphysema` measures them; with --tissues fat_ml and bone_ml, as `--measure-by
    tissues` does.
    """
    from hagan_clinic.data.cohort import check_cohort, find_cohort
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.progress import counted
    from hagan_clinic.training.anatomy import measure_chests, measure_cohort

    of_chests = [name for name, given in (("emphysema", emphysema), ("tissues", tissues)) if given]
    if of_chests and (mask or stripped or threshold is not None or lesions):
        raise click.UsageError(f"--{of_chests[0]} is of chest CT: leave the options of brains out")
    check_output(output, (cohort,), overwrite=overwrite, suffixes=(".csv",))
    subjects = find_cohort(cohort, (image,), None, mask)
    check_cohort(subjects)
    with counted("measuring", len(subjects)) as progress:
        if of_chests:
            columns = measure_chests(subjects, lungs=emphysema, tissues=tissues, progress=progress)
            _write(output, subjects, columns)
            rules = "; ".join(_RULES[name] for name in of_chests)
            note(f"wrote {output}: {len(subjects)} subjects; {rules}")
            return
        measured, used = measure_cohort(
            subjects, lesions=lesions, stripped=stripped, threshold=threshold, progress=progress
        )
    columns = {"brain_ml": [one.brain_ml for one in measured]}
    if lesions:
        columns["lesion_ml"] = [one.lesion_ml or 0.0 for one in measured]
    _write(output, subjects, columns)
    how = "of the brain mask" if used is None else f"brighter than {used:g} in the brain"
    note(f"wrote {output}: {len(subjects)} subjects, brain_ml is the volume {how}")
    if used is not None and threshold is None and not stripped:
        note("as all brain masks have one volume, which says nothing about a patient")


def _write(
    output: Path, subjects: Sequence[Subject], columns: Mapping[str, Sequence[float]]
) -> None:
    """A row for every subject: its name, its patient, and a value of each column."""
    from hagan_clinic.imageio import write_text

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["subject", "patient", *columns])
    for subject, *values in zip(subjects, *columns.values(), strict=True):
        rows.writerow([subject.name, subject.patient, *(f"{value:.3f}" for value in values)])
    write_text(text.getvalue(), output)
