"""`hagan-clinic evaluate`: measure models; one file a subcommand, imported when called."""

from __future__ import annotations

import click

from hagan_clinic.cli.lazy_group import LazyGroup

SUBCOMMANDS = {
    "translation": "Evaluate translations of patients that the models never saw.",
    "synthesis": "Evaluate samples: FID, MMD, diversity, maps, panels.",
    "encoding": "Evaluate encoders: reconstruction, structures, measurements.",
    "folds": "Join the folds of cross-validations.",
    "cost": "Measure parameters, memory and speed of training.",
}
"""What `--help` says of each, so that it imports none; each is `command` in its file."""


@click.group(
    cls=LazyGroup,
    package=__name__,
    described=SUBCOMMANDS,
    short_help="Evaluate models: metrics, tests, calibration, pictures.",
)
def command() -> None:
    """Evaluate models: metrics, reference baselines, tests between models, pictures.

    Each writes a folder with tables in Markdown, every value as CSV, and pictures.
    """
