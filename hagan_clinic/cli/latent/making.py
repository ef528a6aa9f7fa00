"""What the commands that make a series of volumes share: options, a start, and the making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import say
from hagan_clinic.errors import InputError, some

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hagan_clinic.runtime.exploration import Marking, Measure
    from hagan_clinic.runtime.exploration.series import VolumeSeries
    from hagan_clinic.runtime.latents import Latents
    from hagan_clinic.runtime.synthesis import Generator

_Command = TypeVar("_Command", bound=Callable[..., None])
_OPTIONS = (
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder."),
    click.option("--steps", type=click.IntRange(min=2), default=7, show_default=True),
    click.option("--label", "chosen", help="Class to synthesise, for a model with classes."),
    device_option,
    click.option("--overwrite", is_flag=True, help="Replace files that exist."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only."),
)


def making_options(command: _Command) -> _Command:
    """The options of a command that makes a series."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def fitting_latents(path: Path, generator: Generator) -> Latents:
    """The latents of a file, which must be of the generator's model.

    Raises:
        InputError: They are not, or the file cannot be read.
    """
    from hagan_clinic.runtime.latents import read_latents

    latents = read_latents(path)
    latents.check_fits(generator.identity, generator.latent, str(path))
    return latents


def latent_of(latents: Latents, subject: str, where: Path) -> tuple[NDArray[np.float32], str]:
    """A subject's latent and class, "" where the file has none.

    Raises:
        InputError: There is no such subject.
    """
    if subject not in latents.names:
        raise InputError(
            f"{where} has no subject {subject!r}: expected one of {some(latents.names)}"
        )
    number = latents.names.index(subject)
    return latents.latents[number], latents.labels[number] if latents.labels else ""


def one_latent(text: str, generator: Generator) -> tuple[NDArray[np.float32], str, str]:
    """Latent and class of `LATENTS:SUBJECT`, and the subject's name.

    Raises:
        InputError: The file is not the model's, or has no such subject.
    """
    file, separator, subject = text.rpartition(":")
    if not (separator and file and subject):
        raise click.BadParameter(f"{text!r} is not LATENTS:SUBJECT", param_hint="--from")
    latent, label = latent_of(fitting_latents(Path(file), generator), subject, Path(file))
    return latent, label, subject


def class_of(generator: Generator, chosen: str | None, *labels: str) -> str | None:
    """The class to make: the one chosen, or the subjects' if they have one and the same.

    Raises:
        InputError: A model with classes and none is known, an unknown one, or one for a model
            without classes.
    """
    from hagan_clinic.api.generators import check_class

    check_class(generator, chosen)
    if chosen is not None or not generator.classes:
        return chosen
    if len(set(labels)) != 1 or labels[0] not in generator.classes:
        known = ", ".join(generator.classes)
        raise InputError(f"{generator.name} makes one of the classes {known}: give --label")
    return labels[0]


def made(
    series: VolumeSeries,
    generator: Generator,
    measure: Measure | None = None,
    marking: Marking | None = None,
    *,
    output: Path,
    overwrite: bool,
    quiet: bool,
    device: str,
) -> list[float]:
    """Write the series and say where; the measured values."""
    from hagan_clinic.progress import counted
    from hagan_clinic.runtime.exploration.series import write_series
    from hagan_clinic.runtime.provenance import REMINDER, licence_in_words

    with counted("synthesising", len(series.latents), quiet=quiet) as step:
        measured = write_series(
            series, output, generator, measure, marking, overwrite=overwrite, progress=step
        )
    if not quiet:
        say(
            f"wrote {output}: {len(series.latents)} volumes, {series.name}.csv, "
            f"{series.name}.png, {series.name}.gif"
        )
        say(f"Weights: {licence_in_words(generator.facts.licence)}")
        say(REMINDER)
    return measured
