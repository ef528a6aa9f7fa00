"""A group of commands that imports each when it is called, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from hagan_clinic.cli.failures import with_debug


class LazyGroup(click.Group):
    """Commands by name, in the order given.

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
        """Import a command, and give it the option that all have."""
        if cmd_name not in self._described:
            return None
        module = import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return with_debug(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._described.items()))
