"""`hagan-clinic listen`: the DICOM node."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

import click

from hagan_clinic.cli.failures import INTERRUPTED, explained
from hagan_clinic.cli.options import device_option

_EXAMPLE = """\b
Example:
  hagan-clinic listen --caller ROUTER --forward ORTHANC@127.0.0.1:4242 --spool /var/spool/hagan
"""


@click.command(epilog=_EXAMPLE)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file of settings; options override it.",
)
@click.option("--aet", help="AE title of this node.  [default: HAGAN]")
@click.option("--host", help="Address to listen on.  [default: all]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 11112]")
@click.option("--forward", metavar="ARCHIVE", help="AET@HOST:PORT, or https://… for STOW-RS.")
@click.option("--spool", type=click.Path(), help="Folder of the series being processed.")
@click.option("--watch", type=click.Path(), help="Folder whose DICOM files are also taken.")
@click.option(
    "--caller",
    "callers",
    multiple=True,
    metavar="AET",
    help="AE title that may send; repeat for several.",
)
@click.option(
    "--silence",
    type=float,
    metavar="SECONDS",
    help="Silence after which a series is complete.  [default: 60]",
)
@click.option("--model", help="Name of a bundled model, or a file.  [default: t1_to_flair]")
@device_option
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    help="Port of /health and /metrics on 127.0.0.1; 0 for none.  [default: 11180]",
)
@click.pass_context
def command(
    context: click.Context,
    config: Path | None,
    aet: str | None,
    host: str | None,
    port: int | None,
    forward: str | None,
    spool: str | None,
    watch: str | None,
    callers: tuple[str, ...],
    silence: float | None,
    model: str | None,
    device: str,
    http_port: int | None,
) -> None:
    """Receive T1 series by DICOM, translate each, and send the result to an archive.

    An instance is acknowledged when no crash can lose it any more; after a stop or a crash the
    node resumes where it was. The log is a JSON object a line on standard error, without patient
    data. Stop it with SIGTERM.
    """
    from hagan_clinic.node.config import read_config
    from hagan_clinic.node.logs import log, start_logging
    from hagan_clinic.node.service import serve
    from hagan_clinic.node.translation import SeriesTranslator

    start_logging()
    is_given = context.get_parameter_source("device") is not click.core.ParameterSource.DEFAULT
    try:
        settings = read_config(
            config,
            aet=aet,
            host=host,
            port=port,
            forward=forward,
            spool=spool,
            watch=watch,
            callers=callers or None,
            silence=silence,
            model=model,
            device=device if is_given else None,
            http_port=http_port,
        )
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        serve(settings, SeriesTranslator(settings), stop)
    except KeyboardInterrupt:
        log("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        # No series has been looked at yet: it is about settings, model or machine.
        message, code = explained(error)
        log("not started", level=logging.CRITICAL, error=message, exit_code=code)
        sys.exit(code)
