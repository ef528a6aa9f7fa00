"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import click

from hagan_clinic import __version__
from hagan_clinic.cli.failures import EXIT_CODES, in_one_line
from hagan_clinic.cli.lazy_group import LazyGroup
from hagan_clinic.cli.options import with_shared
from hagan_clinic.cli.printing import spell_out

COMMANDS = {
    "translate": "Synthesise one MR sequence from another: T1 to FLAIR.",
    "bids": "Translate a BIDS data set, as a BIDS App.",
    "inspect": "List the DICOM series of a folder and which can be used.",
    "view": "Write a page to review results, which works offline.",
    "listen": "Receive DICOM series, translate and forward them: a node.",
    "spool": "Show, retry and purge what the DICOM node holds.",
    "models": "List the bundled models, show their cards, verify them.",
    "doctor": "Check what this machine can run.",
    "accept": "Check an installation against the model's reference.",
    "check": "List every fault of a cohort before training on it.",
    "train": "Train a generator on a cohort.",
    "import-weights": "Turn the authors' released weights into a run folder.",
    "summary": "Show a model's parts, layers, parameters and memory.",
    "export": "Write a trained run as one ONNX file.",
    "sample": "Synthesise volumes from random latents.",
    "encode": "Turn scans into latents.",
    "reconstruct": "Turn scans into latents and back, and measure the loss.",
    "evaluate": "Evaluate models: metrics, tests, calibration, pictures.",
    "latent": "Explore the latent space of an unconditional model.",
}
"""What `--help` says of each command, so that it imports none; each is `command` in its file,
whose name has underscores for dashes."""


class _Commands(LazyGroup):
    """The commands; every exception is shown in one line."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run, as a program does."""
        spell_out()
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with in_one_line(ctx):
            return super().invoke(ctx)


@click.group(
    cls=_Commands,
    package=__name__,
    described=COMMANDS,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Brain MR sequence translation and synthesis with hierarchical 3D GANs.

    Results are SYNTHETIC: for research, not for diagnosis.
    """
    if threading.current_thread() is threading.main_thread():
        # A scheduler's SIGTERM then unwinds as Ctrl-C does, and no partial output is left.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


with_shared(main)
