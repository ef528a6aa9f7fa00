"""`hagan-clinic train` in a process of its own, stopped in time."""

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from given import Given

COMMAND = "from hagan_clinic.cli import main; main()"


def train(
    arguments: Given,
    run: Path,
    settings: dict[str, Any],
    until: float,
    watch: Callable[[], None],
    config: Path | None = None,
) -> int:
    """Train until so many seconds are left, or to the end; returns the exit status.

    Args:
        arguments: the arguments of the part.
        run: the run folder.
        settings: over those of the generator, or of ``config``.
        until: seconds that must be left when it has stopped.
        watch: called twice a second.
        config: a file of settings instead of the generator's.
    """
    values = {
        **({} if config else arguments.generator),
        "data": arguments.cohort(),
        "device": arguments.device,
        **settings,
    }
    options = [
        "--mode",
        values.pop("mode"),
        "-o",
        str(run),
        "--cache",
        str(arguments.scratch / "cache"),
    ]
    options += ["--data", str(values.pop("data"))]
    if config:
        options += ["--config", str(config)]
    if arguments.init:
        options += ["--init", arguments.init]
    for name, value in values.items():
        options += ["--set", f"{name}={value!r}"]
    command = [sys.executable, "-c", COMMAND, "train", *options]
    process = subprocess.Popen(command, stdout=sys.stderr)
    stopped = False
    while process.poll() is None:
        time.sleep(0.5)
        watch()
        if arguments.left < until and not stopped:
            # The loop saves what it has and ends.
            process.send_signal(signal.SIGTERM)
            stopped = True
        if arguments.left < 1:
            process.kill()
    watch()
    return process.returncode


def figures(run: Path, name: str) -> list[tuple[int, float]]:
    """Step and value of a figure of the run's log."""
    path = run / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == 3]
    return [(int(step), float(value)) for step, arguments, value in rows if arguments == name]
