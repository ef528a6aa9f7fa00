"""Work spread over the workers of a Dask cluster: every piece is done, whatever worker dies.

Dask keeps the workers and gives what a dead one had to another. Each worker is given one piece at a
time, which may use all of its threads. Dask's logs and its dashboard show names of tasks, functions
and arguments, so a task's name here is random, and its argument tells nothing of itself.
"""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic import __version__
from hagan_clinic.errors import DeviceError, HaganClinicError, InputError
from hagan_clinic.runtime.memory import available
from hagan_clinic.runtime.session import usable_cpus

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

LOCAL = "local"
MEMORY_OF_ONE = 3 * 2**30
CONNECT_SECONDS = 20
LOOK_SECONDS = 1
"""How often new workers and an interruption are looked for while all are at work."""

_SHARE_OF_LIMIT = 0.7  # Dask pauses a worker at 0.8 of its memory, and ends it at 0.95
_one_at_a_time = threading.Lock()
_asked_to_stop: set[str] = set()
"""Calls of `spread` that were interrupted; of this process, which is a worker."""
_call = threading.local()


class UnfitWorkerError(HaganClinicError):
    """A worker has not what a piece of work needs; another may."""

    exit_code = DeviceError.exit_code


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of a cluster whose workers have this version of hagan-clinic.

    Args:
        address: `local` or `local:3` for as many processes of this machine, which end with the
            block, by default one a core that has 3 GiB of memory; else a scheduler's address or
            its file.

    Raises:
        InputError: It is no address.
        DeviceError: No scheduler answers there, or a worker has another version.
    """
    from distributed import Client

    kind, _, count = address.partition(":")
    if kind == LOCAL:
        with _local_cluster(_count(address, count)) as cluster, Client(cluster) as client:
            yield client
        return
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = Client(**where, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:  # the last of tls:// without keys
        raise DeviceError(
            f"--cluster {address}: no scheduler answers there ({_in_short(error)}); expected "
            "local, local:3, the address that `dask scheduler` shows, as tcp://10.0.0.5:8786, or "
            "the file of its --scheduler-file"
        ) from error
    with client:
        require("hagan-clinic", __version__, client.run(_version, on_error="return"))
        yield client


@contextmanager
def _local_cluster(workers: int) -> Iterator[LocalCluster]:
    """Processes of this machine, which no other user can reach and Ctrl-C does not end."""
    import dask
    from distributed import LocalCluster

    # What a process ignores, those that it starts ignore: they finish the piece they have.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        with dask.config.set({"distributed.scheduler.http.routes": []}):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=max(usable_cpus() // workers, 1),
                memory_limit=available() // workers,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                security=True,  # TLS, with keys that live as long as the cluster
                silence_logs=logging.CRITICAL,
            )
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
    with cluster:
        yield cluster


def require(what: str, expected: str, found: dict[str, Any]) -> None:
    """Refuse workers, by name, that have not what is expected.

    Args:
        what: It is about.
        expected: What every worker must have.
        found: What each worker has, by its address, or an exception.

    Raises:
        DeviceError: One has something else.
    """
    unfit = {
        worker: has
        for worker, has in found.items()
        if has != expected and not isinstance(has, OSError)  # one that was lost meanwhile
    }
    if unfit:
        told = "; ".join(
            f"{worker} has {_in_short(has) if isinstance(has, Exception) else has or 'none'}"
            for worker, has in sorted(unfit.items())
        )
        raise DeviceError(
            f"{len(unfit)} of {len(found)} workers are unfit: {told}; expected {what} {expected}, "
            "as here: install the same on every machine, and restart its worker"
        )


def spread(
    client: Client,
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    say: Callable[[str], None],
) -> Iterator[tuple[int, Any]]:
    """Have a function called on every item, and give each result when it is there.

    Args:
        client: Of the cluster.
        function: Of a module; called in a worker, one call at a time.
        items: That can be pickled.
        say: Told of workers that are refused.

    Yields:
        The item's place, and what the function returned or the exception that ended it.

    Raises:
        DeviceError: The scheduler was lost, or every worker is refused.
        KeyboardInterrupt: After the results of what was in work when it came.
    """
    from distributed import Future, wait

    call = uuid.uuid4().hex
    waiting = deque(enumerate(items))
    running: dict[Future[Any], int] = {}
    known: set[str] = set()
    with _interruption() as interrupted:
        try:
            while (waiting and not interrupted.is_set()) or running:
                workers = set(client.nthreads())
                for lost in sorted(known - workers):
                    say(f"worker {lost} was lost; what it had is done by another")
                known = workers
                room = max(len(workers), 1) - len(running)
                for place, item in [waiting.popleft() for _ in range(min(room, len(waiting)))]:
                    piece = _Piece(function, item, call, __version__)
                    key = f"hagan-clinic-{uuid.uuid4().hex}"
                    running[client.submit(_do, piece, key=key, pure=False)] = place
                with suppress(TimeoutError):
                    wait(list(running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
                if interrupted.is_set() and waiting:
                    waiting.clear()
                    say("stopping; what is in work is finished first (Ctrl-C again: at once)")
                    client.run(_ask_to_stop, call, on_error="ignore")
                for future in [one for one in running if one.status != "pending"]:
                    place, answer = running.pop(future), _answer(future)
                    if answer.refusal:
                        if answer.worker in known:
                            say(f"worker {answer.worker} is refused: {answer.refusal}")
                            client.retire_workers([answer.worker], close_workers=True)
                            known.discard(answer.worker)
                        if not known:
                            raise DeviceError(f"no worker is fit: {answer.refusal}")
                        waiting.append((place, items[place]))
                    else:
                        yield place, answer.value
        finally:
            with suppress(Exception):  # the cluster may be gone
                client.cancel(list(running), force=True)
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C, instead of an exception wherever the program is; not the second."""
    asked = threading.Event()

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def asked_to_stop() -> bool:
    """Whether who asked for the piece of work that runs here was interrupted."""
    return getattr(_call, "name", "") in _asked_to_stop


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
class _Piece:
    """A call to make; what Dask shows of it names neither function nor item."""

    function: Callable[[Any], Any]
    item: Any
    call: str
    version: str


@dataclass(frozen=True)
class _Answer:
    worker: str
    value: Any = None
    refusal: str = ""


def _do(piece: _Piece) -> _Answer:
    from distributed import get_worker

    worker = get_worker().address
    if piece.version != __version__:  # a worker that came later than the others
        found = f"it has hagan-clinic {__version__}, expected {piece.version}"
        return _Answer(worker, refusal=found)
    with _one_at_a_time:
        _call.name = piece.call
        try:
            return _Answer(worker, piece.function(piece.item))
        except UnfitWorkerError as error:
            return _Answer(worker, refusal=str(error))
        except Exception as error:  # raised here, Dask would log the arguments
            return _Answer(worker, error)


def _ask_to_stop(call: str) -> None:
    _asked_to_stop.add(call)


def _answer(future: Any) -> _Answer:
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise DeviceError(
            "the cluster's scheduler was lost; start it and its workers, and repeat the command"
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        told = (
            "each worker that had it ended, as where memory runs out; give workers more memory, or "
            "a smaller --max-memory"
        )
        return _Answer("", DeviceError(told))
    return _Answer("", error) if error is not None else future.result()


def _version() -> str:
    return __version__


def _count(address: str, text: str) -> int:
    if not text and ":" not in address:
        return max(min(usable_cpus(), available() // MEMORY_OF_ONE), 1)
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--cluster {address}: expected local, or local:3 for three processes")
    return int(text)


def _in_short(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
