"""`hagan-clinic latent measure`: brain and lesion volumes of a cohort, as a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from hagan_clinic.cli.printing import note

_PATH = click.Path(path_type=Path)


@click.command(short_help="Measure brain and lesion volumes of a cohort.")
@click.argument("cohort", type=_PATH)
@click.option("-o", "--output", required=True, type=_PATH, help=".csv file.")
@click.option("--image", default="t1", show_default=True, help="Sequence of the cohort.")
@click.option("--mask", type=_PATH, help="One brain mask for all subjects.")
@click.option("--stripped", is_flag=True, help="The images hold the brain alone: no mask needed.")
@click.option(
    "--threshold",
    type=float,
    help="Measure what is brighter in the brain, on 0 to 1.  [default: 0.3 where needed]",
)
@click.option("--lesions", is_flag=True, help="Measure lesion label maps (seg) too.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    cohort: Path,
    output: Path,
    image: str,
    mask: Path | None,
    stripped: bool,
    threshold: float | None,
    lesions: bool,
    overwrite: bool,
) -> None:
    """Write subject, patient, brain_ml and with --lesions lesion_ml of every subject of COHORT.

    brain_ml is the volume of the brain mask. With --threshold or --stripped, or where all masks
    have one volume, as with one mask for a cohort aligned to a template, it is instead the
    volume of what is brighter than the threshold in the brain, as `walk --measure-by
    threshold-volume` measures synthetic volumes.
    """
    from hagan_clinic.data.cohort import check_cohort, find_cohort
    from hagan_clinic.imageio import write_text
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.progress import counted
    from hagan_clinic.training.anatomy import measure_cohort

    check_output(output, (cohort,), overwrite=overwrite, suffixes=(".csv",))
    subjects = find_cohort(cohort, (image,), None, mask)
    check_cohort(subjects)
    with counted("measuring", len(subjects)) as progress:
        measured, used = measure_cohort(
            subjects, lesions=lesions, stripped=stripped, threshold=threshold, progress=progress
        )
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["subject", "patient", "brain_ml", *(["lesion_ml"] if lesions else [])])
    for one in measured:
        volumes = [one.brain_ml, *([] if one.lesion_ml is None else [one.lesion_ml])]
        rows.writerow([one.subject.name, one.subject.patient, *(f"{ml:.3f}" for ml in volumes)])
    write_text(text.getvalue(), output)
    how = "of the brain mask" if used is None else f"brighter than {used:g} in the brain"
    note(f"wrote {output}: {len(measured)} subjects, brain_ml is the volume {how}")
    if used is not None and threshold is None and not stripped:
        note("as all brain masks have one volume, which says nothing about a patient")
