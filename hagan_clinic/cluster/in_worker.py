"""What runs in a worker: one piece of work at a time, with all of its threads.

Dask's logs and its dashboard show names of functions and arguments, so a piece tells nothing of
itself, and an exception is returned instead of raised.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.errors import DeviceError, HaganClinicError

_SHARE_OF_LIMIT = 0.7  # Dask pauses a worker at 0.8 of its memory, and ends it at 0.95
_one_at_a_time = threading.Lock()
_asked_to_stop: set[str] = set()
"""Calls of `spread` that were interrupted; of this process, which is a worker."""
_call = threading.local()


class UnfitWorkerError(HaganClinicError):
    """A worker has not what a piece of work needs; another may."""

    exit_code = DeviceError.exit_code


def asked_to_stop() -> bool:
    """Whether who asked for the piece of work that runs here was interrupted."""
    return getattr(_call, "name", "") in _asked_to_stop


def own_address() -> str:
    """The address of the worker that this runs in."""
    from distributed import get_worker

    return str(get_worker().address)


def own_threads() -> int:
    """The threads of the worker that this runs in: `dask worker --nthreads`."""
    from distributed import get_worker

    return int(get_worker().state.nthreads)


def own_memory() -> int | None:
    """Bytes that a piece of work may take in this worker; None where it has no limit."""
    from distributed import get_worker

    limit = get_worker().memory_manager.memory_limit
    return int(limit * _SHARE_OF_LIMIT) if limit else None


@dataclass(frozen=True, repr=False)
class Piece:
    """A call to make; what Dask shows of it names neither function nor item."""

    function: Callable[[Any], Any]
    item: Any
    call: str
    version: str


@dataclass(frozen=True)
class Answer:
    """What came of a piece: a value, which may be an exception, or why the worker is unfit."""

    worker: str
    value: Any = None
    refusal: str = ""


def do(piece: Piece) -> Answer:
    """Do a piece of work in the worker that this runs in."""
    worker = own_address()
    if piece.version != __version__:  # a worker that came later than the others
        found = f"it has hagan-clinic {__version__}, expected {piece.version}"
        return Answer(worker, refusal=found)
    with _one_at_a_time:
        _call.name = piece.call
        try:
            return Answer(worker, piece.function(piece.item))
        except UnfitWorkerError as error:
            return Answer(worker, refusal=str(error))
        except Exception as error:  # raised here, Dask would log the arguments
            return Answer(worker, error)


def ask_to_stop(call: str) -> None:
    """Let `asked_to_stop` say so to the pieces of a call of `spread`."""
    _asked_to_stop.add(call)
