"""`hagan-clinic evaluate`: measure models; one file a subcommand, imported when called."""

from __future__ import annotations

from importlib import import_module

import click

from hagan_clinic.cli.failures import with_debug

SUBCOMMANDS = {
    "translation": "Judge models that translate, on patients they never saw.",
    "synthesis": "Judge samples: FID, MMD, diversity, maps, panels.",
    "encoding": "Judge encoders: reconstruction, structures, measurements.",
    "cost": "Measure parameters, memory and speed of training.",
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


@click.group(cls=_Subcommands, short_help="Measure models: figures, tests, calibration, pictures.")
def command() -> None:
    """Measure models: figures beside their floors, tests between them, pictures.

    Each writes a folder with tables in Markdown, every figure as CSV, and pictures.
    """
