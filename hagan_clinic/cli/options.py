"""Options that several commands share."""

import click

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
    help="Where the network runs; what cannot be had is an error, but for auto.",
)

cluster_option = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Do it on a Dask cluster: local (a process a core), local:3, tcp://HOST:8786, or the "
    "scheduler's file.",
)
