"""`hagan-clinic view`: results and their scans as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.printing import note

_EXAMPLE = """\b
Examples:
  hagan-clinic view synthetic/ scans/ -o qc.html
  hagan-clinic view synthetic/ scans/ --real scans/ -o qc.html
  hagan-clinic view flair.nii.gz t1.nii.gz --real flair_real.nii.gz
"""
_PATH = click.Path(path_type=Path)


@click.command(epilog=_EXAMPLE)
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", type=_PATH, default=Path("page.html"), show_default=True)
@click.option(
    "--real",
    type=_PATH,
    help="The real target image: a file for one result, or a folder for many.",
)
@click.option("--overwrite", is_flag=True, help="Replace a page that exists.")
def command(paths: tuple[Path, ...], output: Path, real: Path | None, overwrite: bool) -> None:
    """Write a page to review results: one HTML file that works offline.

    PATHS are results of `translate`, their scans, error bars and reports, or folders of these, in
    any order: they are matched by the JSON files beside the results, and DICOM series by their
    headers. A folder of results with a results.csv is enough if the scans have not been moved.
    """
    from hagan_clinic.cli.real_images import real_images
    from hagan_clinic.cli.viewed import found_results
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.runtime.page import read_result, room_for, write_page
    from hagan_clinic.runtime.page.page import PAGE_SUFFIXES
    from hagan_clinic.runtime.provenance import REMINDER, licence_in_words

    check_output(output, paths, overwrite=overwrite, suffixes=PAGE_SUFFIXES)
    results, failures = found_results(paths)
    reals = real_images(results, real) if real and results else [None] * len(results)
    room = room_for(len(results))
    subjects = [
        read_result(result, room, acquired) for result, acquired in zip(results, reals, strict=True)
    ]
    models = {
        f"{result.model.get('name')}, weights {str(result.model.get('sha256'))[:12]}, "
        f"{licence_in_words(str(result.model.get('licence')))}"
        for result in results
    }
    write_page([*failures, *subjects], output, "; ".join(sorted(models)))
    note(f"wrote {output}: {len(subjects)} result{'s' * (len(subjects) > 1)}")
    note(REMINDER)
