"""Work spread over the workers of a Dask cluster: every piece is done, whatever worker dies.

Each worker is given one piece at a time, which may use all of its threads; what a dead one had is
given to another. Dask's logs and its dashboard show names of tasks, so those here are random.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hagan_clinic import __version__
from hagan_clinic.cluster.connecting import LOCAL
from hagan_clinic.cluster.in_worker import Answer, Piece, ask_to_stop, do
from hagan_clinic.errors import DeviceError

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_SECONDS = 1
"""How often new workers and an interruption are looked for while all are at work."""
NOBODY_SECONDS = 60
"""After which it is said that there is no worker."""
RESULT_SECONDS = 60
"""After which a result that cannot be fetched counts as lost with its worker."""
DEATHS = 4
"""Workers that a piece of work may end before it is given up."""

_NO_SCHEDULER = "the cluster's scheduler was lost; start it and its workers, and repeat the command"


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
    from distributed import CancelledError, wait

    work = _Work(client, function, items, say)
    with _interruption() as interrupted:
        try:
            while (work.waiting and not interrupted.is_set()) or work.running:
                work.look()
                if not interrupted.is_set():
                    work.give()
                if work.running:
                    with suppress(TimeoutError, CancelledError):  # see `_answer`
                        wait(
                            list(work.running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED"
                        )
                else:
                    interrupted.wait(LOOK_SECONDS)
                if interrupted.is_set() and work.waiting:
                    work.waiting.clear()
                    say("stopping; what is in work is finished first (Ctrl-C again: at once)")
                    client.run(ask_to_stop, work.call, on_error="ignore")
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
                do,
                Piece(self._function, self._items[place], self.call, __version__),
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
        able = {one for one, status in self._workers.items() if status == "running"}
        if self.running or able - self._refused:
            self._last_seen, self._said_nobody = time.monotonic(), False
        elif time.monotonic() - self._last_seen > NOBODY_SECONDS and not self._said_nobody:
            if self._client.cluster is not None:
                raise DeviceError(
                    f"all processes of --cluster {LOCAL} ended or were paused for their memory, "
                    f"and none came back within {NOBODY_SECONDS} s; give fewer: {LOCAL}:1"
                )
            self._said_nobody = True
            self._say(
                f"no worker to give work to for {NOBODY_SECONDS} s: none is there, or all were "
                "paused for their memory; waiting until one is free (Ctrl-C ends the command)"
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


def _answer(future: Future[Any]) -> Answer | None:
    """What came of a piece; None if it was lost with its worker."""
    from distributed import KilledWorker

    if future.status == "cancelled":
        raise DeviceError(_NO_SCHEDULER)
    if future.status == "lost":
        return None
    try:
        answer: Answer = future.result(timeout=RESULT_SECONDS)
    except (KilledWorker, TimeoutError):
        return None
    except Exception as error:  # it could not travel
        return Answer("", error)
    return answer
