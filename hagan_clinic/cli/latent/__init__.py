"""`hagan-clinic latent`: explore the latent space; one file a subcommand, imported when called."""

from __future__ import annotations

import click

from hagan_clinic.cli.lazy_group import LazyGroup

SUBCOMMANDS = {
    "measure": "Measure brain and lesion volumes of a cohort.",
    "fit": "Find the direction that a measurement grows along.",
    "walk": "Make volumes along a direction.",
    "interpolate": "Make volumes between two subjects.",
    "map": "Plot real and synthetic volumes as the encoder sees them.",
}
"""What `--help` says of each, so that it imports none; each is `command` in its file."""


@click.group(
    cls=LazyGroup,
    package=__name__,
    described=SUBCOMMANDS,
    short_help="Explore the latent space of an unconditional model.",
)
def command() -> None:
    """Explore the latent space of an unconditional model.

    From measurements of a cohort to a direction, and from there to synthetic volumes that
    change along it.
    """
