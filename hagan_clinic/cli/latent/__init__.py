"""`hagan-clinic latent`: explore the latent space; one file a subcommand, imported when called."""

from __future__ import annotations

from importlib import import_module

import click

from hagan_clinic.cli.failures import with_debug

SUBCOMMANDS = {
    "measure": "Measure brain and lesion volumes of a cohort.",
    "fit": "Find the direction that a measurement grows along.",
    "walk": "Make volumes along a direction.",
    "interpolate": "Make volumes between two subjects.",
    "map": "Plot real and synthetic volumes as the encoder sees them.",
}
"""What `--help` says of each, so that it imports none; each is `command` in its file."""


class _Subcommands(click.Group):
    """Subcommands by name, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return with_debug(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(cls=_Subcommands, short_help="Explore the latent space of an unconditional model.")
def command() -> None:
    """Explore the latent space of an unconditional model.

    From measurements of a cohort to a direction, and from there to synthetic volumes that
    change along it.
    """
