"""`hagan-clinic evaluate folds`: what the folds of cross-validations found, in one table."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.evaluate.options import file_options, output_option
from hagan_clinic.cli.evaluate.reporting import report

_EXAMPLE = """\b
Example:
  hagan-clinic evaluate folds cv/hagan cv/slab-unet -o results
"""


@click.command(short_help="Join the folds of cross-validations.", epilog=_EXAMPLE)
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER..."
)
@output_option
@file_options
def command(folders: tuple[Path, ...], output: Path, overwrite: bool, quiet: bool) -> None:
    """Combine the evaluations of `train --folds` in each FOLDER, and compare their models.

    A model is named after its folder. Several folders must have the same folds.
    """
    from hagan_clinic.api.folds_evaluation import join_folds

    report(join_folds(folders, output, overwrite=overwrite), quiet=quiet)
