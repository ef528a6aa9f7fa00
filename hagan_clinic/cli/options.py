"""Options that several commands share, and the two that all have."""

import click

from hagan_clinic import progress
from hagan_clinic.cli.failures import DEBUG

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
    help="Where the network runs; unless auto, a missing device is an error.",
)

cluster_option = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Run on a Dask cluster: local (one process per core), local:3, tcp://HOST:8786, or "
    "the scheduler's file.",
)


def with_shared(command: click.Command) -> click.Command:
    """The command, with the options --debug and --quiet that every command has."""
    own = {parameter.name: parameter for parameter in command.params}
    if "debug" not in own:
        command.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=_debug,
                help="Show the traceback of an error.",
            )
        )
    if "quiet" not in own:
        own["quiet"] = click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            help="Print only errors, warnings and requested output.",
        )
        command.params.append(own["quiet"])
    own["quiet"].callback = _quiet
    return command


def _debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    # A group and its subcommand both have the option, and share their meta.
    context.meta[DEBUG] = value or context.meta.get(DEBUG, False)


def _quiet(context: click.Context, _: click.Parameter, value: bool) -> bool:
    """Quiet is a command that says so, or whose group does."""
    if value and not progress.is_hidden():
        context.find_root().call_on_close(progress.hide())
    return progress.is_hidden()
