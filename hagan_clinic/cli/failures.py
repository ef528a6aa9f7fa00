"""How a command fails: one line and an exit code, a traceback only with --debug, nothing left."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from hagan_clinic.cli.printing import say
from hagan_clinic.errors import DeviceError, HaganClinicError
from hagan_clinic.extras import EXTRAS

INTERRUPTED = 130  # 128 + SIGINT, as shells count
CLOSED_PIPE = 141  # 128 + SIGPIPE
UNFORESEEN = 1

MEMORY_ADVICE = {
    "translate": "give a smaller --max-memory or free some",
    "bids": "give a smaller --max-memory or free some",
    "train": "free some, or give fewer --workers",
}
"""What to do in a command that ran out of memory."""

DEBUG = "hagan_clinic.debug"
"""Where a call remembers that tracebacks are wanted."""

EXIT_CODES = """\b
Exit codes:
  0    done
  1    an unexpected error (run again with --debug)
  2    wrong usage of the command line
  3    input: a scan, cohort or option cannot be used
  4    model: missing, damaged or not fitting
  5    device: the device, the memory or a package is missing here
  6    output: cannot be written, or exists already
  130  interrupted; no partial output is left
  141  the reader closed the output, as `head` does; files are written
"""


@contextmanager
def in_one_line(context: click.Context) -> Iterator[None]:
    """Turn any exception of the block into one line on stderr and an exit code."""
    try:
        yield
        sys.stdout.flush()  # here, where a closed pipe is not an error
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        say("interrupted; no partial output is left", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(CLOSED_PIPE)
        message, code = explained(error)
        try:
            if context.meta.get(DEBUG):
                traceback.print_exception(error)
            say(f"error: {message}", err=True)
        except BrokenPipeError:  # the exit code still says so
            _nobody_reads()
        sys.exit(code)


def _nobody_reads() -> bool:
    """Whether the reader of an output stream has gone; what is left for it is then dropped."""
    left = [stream for stream in (sys.stdout, sys.stderr) if _reader_has_gone(stream)]
    for stream in left:
        # Python flushes once more at its end, and would show the error.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(left)


def _reader_has_gone(stream: TextIO) -> bool:
    try:
        stream.flush()
        # A stream without buffer has nothing to flush.
        poll = select.poll()
        poll.register(stream, 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        return True
    except (AttributeError, OSError, ValueError):  # Windows has no poll; not every stream is a file
        return False


def explained(error: Exception) -> tuple[str, int]:
    """One line about an exception, and its exit code."""
    # A missing package of the extra is not a defect.
    module = _top_level(error) if isinstance(error, ModuleNotFoundError) else ""
    for extra, packages in EXTRAS.items():
        if module in packages:
            error = DeviceError(
                f"{packages[module]} is not installed, and this command needs it; "
                f'run `pip install "hagan-clinic[{extra}]"`'
            )
    if isinstance(error, MemoryError):
        error = DeviceError(f"memory ran out; {_advice_on_memory()}")
    if isinstance(error, HaganClinicError):
        return " ".join(str(error).split()), error.exit_code
    found = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{found} (unexpected; --debug shows where it happened)", UNFORESEEN


def _advice_on_memory() -> str:
    context = click.get_current_context(silent=True)
    command = context.find_root().invoked_subcommand if context else None
    return MEMORY_ADVICE.get(command or "", "free some")


def _top_level(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]
