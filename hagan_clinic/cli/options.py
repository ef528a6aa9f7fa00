"""Options that several commands share."""

import click

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
    help="Where the network runs; what cannot be had is an error, but for auto.",
)
