"""Groups of commands: they know what was meant, and import each command when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from hagan_clinic.cli.options import with_shared
from hagan_clinic.nearest import did_you_mean


class NearGroup(click.Group):
    """Commands; of one that is not there, the error names the nearest that is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and name[:1].isalnum() and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}{did_you_mean(name, known)}")
        return super().resolve_command(ctx, args)


class LazyGroup(NearGroup):
    """Commands by name, in the order given, imported when they are called: `--help` is quick.

    Args:
        package: Holds a file a command, named as the command with underscores for dashes, with the
            command in it under the name `command`.
        described: What the help says of each.
    """

    def __init__(
        self, *arguments: Any, package: str, described: Mapping[str, str], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._described = dict(described)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without an import."""
        return list(self._described)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, and give it the options that all have."""
        if cmd_name not in self._described:
            return None
        module = import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return with_shared(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._described.items()))
