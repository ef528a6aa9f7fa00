"""What a command costs when it runs alone: wall clock, CPU time and peak resident size."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.errors import DeviceError

MIB = 2**20

# On Linux a new program's peak begins with that of the process that started it. So a bare
# interpreter starts it, smaller than anything that is measured here.
_LAUNCHER = """
import os, sys, time
descriptor, *command = sys.argv[1:]
started = time.monotonic()
child = os.fork()
if child == 0:
    os.execvp(command[0], command)
_, status, usage = os.wait4(child, 0)
seconds, cpu_seconds = time.monotonic() - started, usage.ru_utime + usage.ru_stime
os.write(int(descriptor), f"[{seconds}, {cpu_seconds}, {usage.ru_maxrss}]".encode())
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""


@dataclass(frozen=True)
class ProcessCost:
    """Of one process from start to end.

    Attributes:
        seconds: Wall clock.
        cpu_seconds: User and system time, of all its threads.
        peak_bytes: The largest resident size it ever had.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def check_system(cores: int | None) -> None:
    """Refuse what cannot be measured here.

    Raises:
        DeviceError: This system does not tell what a process costs, or keeps none to some cores.
    """
    if not hasattr(os, "wait4"):
        raise DeviceError(
            "measuring a process needs POSIX's wait4, which this system lacks: measure on Linux "
            "or macOS"
        )
    if cores and not hasattr(os, "sched_setaffinity"):
        raise DeviceError("only Linux can limit a process to some cores: leave --cores out")


def run(
    command: Sequence[str],
    cores: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> ProcessCost:
    """Run a command to its end and measure it.

    Args:
        command: Program and arguments.
        cores: Allow only so many CPU cores (Linux).
        environment: Variables to set besides those that are set here.

    Raises:
        DeviceError: The command failed; its output is in the message. Also as `check_system`.
    """
    check_system(cores)
    before = os.sched_getaffinity(0) if cores else set()
    reading, writing = os.pipe()
    if cores:
        os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _LAUNCHER, str(writing), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[writing],
            env={**os.environ, **(environment or {})},
        )
    finally:
        os.close(writing)
        if cores:
            os.sched_setaffinity(0, before)
    output, _ = process.communicate()
    with os.fdopen(reading) as usage:
        written = usage.read()
    if process.returncode:
        raise DeviceError(f"{' '.join(command)} exited with {process.returncode}:\n{output}")
    seconds, cpu_seconds, peak = json.loads(written)
    return ProcessCost(seconds, cpu_seconds, peak * (1 if sys.platform == "darwin" else 1024))


def program(*arguments: str) -> list[str]:
    """The command line of this environment's `hagan-clinic`."""
    return [str(Path(sys.executable).with_name("hagan-clinic")), *arguments]
