"""`hagan-clinic evaluate folds`: what the folds of cross-validations found, in one table."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.evaluate.options import file_options, output_option
from hagan_clinic.cli.evaluate.reporting import Files, show
from hagan_clinic.cli.printing import say

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
    from hagan_clinic import __version__
    from hagan_clinic.errors import InputError
    from hagan_clinic.evaluation.folds import metrics_csv, read_folds, tables
    from hagan_clinic.evaluation.tables import document
    from hagan_clinic.training.folds import FOLDS

    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise InputError("two folders have one name, which is their model's: rename one")
    found, warnings, there = [], [], set[tuple[str, int, str]]()
    for folder, name in zip(folders, names, strict=True):
        metrics, missing = read_folds(folder)
        if (folder / FOLDS).read_bytes() != (folders[0] / FOLDS).read_bytes():
            raise InputError(f"{folder} has other folds than {folders[0]}: compare apart")
        if missing:
            listed = ", ".join(map(str, missing))
            warnings.append(f"{name} has no evaluation of fold {listed} yet")
        # Every model's evaluation has the same reference baselines.
        found += [one for one in metrics if one.row not in there]
        there |= {one.row for one in found}
    files = Files(output, ["folds.md", "figures.csv"], overwrite=overwrite)
    result = tables(found, names)
    opening = "\n\n".join(
        [f"hagan-clinic {__version__}.", *(f"**Warning:** {text}" for text in warnings)]
    )
    written = {
        "folds.md": document("Cross-validation", opening, result),
        "figures.csv": metrics_csv(found),
    }
    files.write(written)
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    if not quiet:
        show(result)
        say(f"\nwrote {output}: {', '.join(written)}")
