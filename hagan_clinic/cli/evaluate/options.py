"""Options that the commands of `hagan-clinic evaluate` share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hagan_clinic.cli.options import device_option

Command = Callable[..., Any]

output_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder."
)


def subset_options(*subsets: str) -> Callable[[Command], Command]:
    """Of a command that evaluates on one of these subsets of a cohort."""
    path = click.Path(path_type=Path)
    without = "; all if there is no split." if "all" in subsets else "."
    options = [
        output_option,
        click.option("--split", "split_file", type=path, help="CSV of subject and split."),
        click.option(
            "--subset",
            "--side",
            "subset",
            type=click.Choice(subsets),
            default="test",
            show_default=True,
            help=f"Part of the split to evaluate on{without}",
        ),
        click.option("--mask", type=path, help="One brain mask for all subjects."),
        device_option,
    ]

    def with_options(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


def file_options(command: Command) -> Command:
    """Of a command that writes several files and prints tables."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
    overwrite = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
    return overwrite(quiet(command))
