"""Work spread over the workers of a Dask cluster: every piece is done, whatever worker dies.

Dask keeps the workers. Each is given one piece at a time, which may use all of its threads; what a
dead one had is given to another. Dask's logs and its dashboard show names of tasks, functions
and arguments, so a task's name here is random, and its argument tells nothing of itself.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections import Counter, deque
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
    from distributed import Client, Future, LocalCluster

LOCAL = "local"
MEMORY_OF_ONE = 3 * 2**30
CONNECT_SECONDS = 20
LOOK_SECONDS = 1
"""How often new workers and an interruption are looked for while all are at work."""
NOBODY_SECONDS = 60
"""After which it is said that there is no worker."""
RESULT_SECONDS = 60
"""After which a result that cannot be fetched counts as lost with its worker."""
DEATHS = 4
"""Workers that a piece of work may end before it is given up."""

_SHARE_OF_LIMIT = 0.7  # Dask pauses a worker at 0.8 of its memory, and ends it at 0.95
_NO_SCHEDULER = "the cluster's scheduler was lost; start it and its workers, and repeat the command"
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
        reasons = "; ".join(
            f"{worker} has {_in_short(has) if isinstance(has, Exception) else has or 'none'}"
            for worker, has in sorted(unfit.items())
        )
        raise DeviceError(
            f"{len(unfit)} of {len(found)} workers are unfit: {reasons}; expected {what} "
            f"{expected}, as here: install the same on every machine, and restart its worker"
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
        say: Told of workers that are lost or refused.

    Yields:
        The item's place, and what the function returned or the exception that ended it.

    Raises:
        DeviceError: The scheduler was lost, every worker is refused, or all processes of this
            machine ended.
        KeyboardInterrupt: After the results of what was in work when it came.
    """
    from distributed import wait

    work = _Work(client, function, items, say)
    with _interruption() as interrupted:
        try:
            while (work.waiting and not interrupted.is_set()) or work.running:
                work.look()
                if not interrupted.is_set():
                    work.give()
                if work.running:
                    with suppress(TimeoutError):
                        wait(
                            list(work.running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED"
                        )
                else:
                    interrupted.wait(LOOK_SECONDS)
                if interrupted.is_set() and work.waiting:
                    work.waiting.clear()
                    say("stopping; what is in work is finished first (Ctrl-C again: at once)")
                    client.run(_ask_to_stop, work.call, on_error="ignore")
                yield from work.take()
        finally:
            with suppress(Exception):  # the cluster may be gone
                client.cancel(list(work.running), force=True)
    if interrupted.is_set():
        raise KeyboardInterrupt


class _Work:
    """What is to be done, who does it, and what came of it.

    Dask would give a worker as many pieces as it has threads, so each piece is bound to a worker
    that has none, and to another when that one is lost.

    Attributes:
        call: Its name.
        waiting: Places of the items that nobody has.
        running: Place and worker of each piece that was given.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        say: Callable[[str], None],
    ) -> None:
        self.call = uuid.uuid4().hex
        self.waiting = deque(range(len(items)))
        self.running: dict[Future[Any], tuple[int, str]] = {}
        self._client, self._function, self._items, self._say = client, function, items, say
        self._workers: dict[str, str] = {}
        self._refused: set[str] = set()
        self._deaths: Counter[int] = Counter()
        self._given_up: list[int] = []
        self._last_seen = time.monotonic()
        self._said_nobody = False

    def look(self) -> None:
        """See which workers there are; what a lost one had waits again."""
        workers = _workers(self._client)
        for lost in sorted(self._workers.keys() - workers.keys()):
            self._say(f"worker {lost} was lost; what it had is done by another")
        self._workers = workers
        for future, (place, worker) in list(self.running.items()):
            if worker not in workers:
                self._again(future, place, died=_died(self._client, worker))
        self._look_for_anybody()

    def give(self) -> None:
        """A piece for each worker that has none."""
        busy = self._refused.union(worker for _, worker in self.running.values())
        # One that Dask paused for its memory begins nothing.
        free = [one for one, status in self._workers.items() if status == "running"]
        for worker in [one for one in free if one not in busy][: len(self.waiting)]:
            place = self.waiting.popleft()
            future = self._client.submit(
                _do,
                _Piece(self._function, self._items[place], self.call, __version__),
                key=f"hagan-clinic-{uuid.uuid4().hex}",
                pure=False,
                workers=[worker],
                allow_other_workers=False,
            )
            self.running[future] = place, worker

    def take(self) -> Iterator[tuple[int, Any]]:
        """What has ended, as `spread` gives it."""
        for future in [one for one in self.running if one.status != "pending"]:
            place, worker = self.running[future]
            answer = _answer(future)
            if answer is None:
                self._again(future, place, died=True)
                continue
            del self.running[future]
            if not answer.refusal:
                yield place, answer.value
                continue
            self.waiting.append(place)
            self._refused.add(worker)
            self._say(f"worker {worker} is refused: {answer.refusal}")
            if not self._workers.keys() - self._refused:
                raise DeviceError(f"no worker is fit: {answer.refusal}")
        while self._given_up:
            yield (
                self._given_up.pop(),
                DeviceError(
                    "each worker that had it ended, as where memory runs out; give workers more "
                    "memory, or a smaller --max-memory"
                ),
            )

    def _again(self, future: Future[Any], place: int, *, died: bool) -> None:
        del self.running[future]
        future.cancel(force=True)
        self._deaths[place] += died
        if self._deaths[place] < DEATHS:
            self.waiting.append(place)
        else:
            self._given_up.append(place)

    def _look_for_anybody(self) -> None:
        if self._workers.keys() - self._refused:
            self._last_seen, self._said_nobody = time.monotonic(), False
        elif time.monotonic() - self._last_seen > NOBODY_SECONDS and not self._said_nobody:
            if self._client.cluster is not None:
                raise DeviceError(
                    f"all processes of --cluster {LOCAL} ended and none restarted within "
                    f"{NOBODY_SECONDS} s, as where memory runs out; give fewer: {LOCAL}:1"
                )
            self._said_nobody = True
            self._say(
                f"no worker to give work to for {NOBODY_SECONDS} s; waiting until one joins the "
                "cluster (Ctrl-C ends the command)"
            )


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


def _workers(client: Client) -> dict[str, str]:
    """The status of every worker, by its address."""
    try:
        workers = client.scheduler_info()["workers"]
    except OSError as error:
        raise DeviceError(_NO_SCHEDULER) from error
    return {address: worker["status"] for address, worker in workers.items()}


def _died(client: Client, worker: str) -> bool:
    """Whether a worker was lost without leave, as one is not that its queue's time limit ends."""
    left = [event for _, event in client.get_events(worker) if event["action"] == "remove-worker"]
    return not (left and left[-1].get("expected"))


def _answer(future: Future[Any]) -> _Answer | None:
    """What came of a piece; None if it was lost with its worker."""
    from distributed import KilledWorker

    if future.status == "cancelled":
        raise DeviceError(_NO_SCHEDULER)
    if future.status == "lost":
        return None
    try:
        answer: _Answer = future.result(timeout=RESULT_SECONDS)
    except (KilledWorker, TimeoutError):
        return None
    except Exception as error:  # it could not travel
        return _Answer("", error)
    return answer


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
