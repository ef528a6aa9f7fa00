"""What a command costs when it runs alone: wall clock, CPU time and peak resident size."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """Of one process from start to end.

    Attributes:
        seconds: Wall clock.
        cpu_seconds: User and system time, of all its threads.
        peak_bytes: The largest resident size it ever had.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(
    command: Sequence[str],
    cores: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run a command to its end and measure it.

    Args:
        command: Program and arguments.
        cores: Allow only so many CPU cores (Linux).
        environment: Variables to set besides those that are set here.

    Raises:
        SystemExit: The command failed; its output is shown.
    """
    before = os.sched_getaffinity(0) if cores else set()
    started = time.monotonic()
    if cores:
        os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    finally:
        if cores:
            os.sched_setaffinity(0, before)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}:\n{output}")
    return Cost(
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def program(*arguments: str) -> list[str]:
    """The command line of this environment's `hagan-clinic`."""
    return [str(Path(sys.executable).with_name("hagan-clinic")), *arguments]
