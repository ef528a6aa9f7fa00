"""What is on its way in: instances go to the disk as they come, and all together have a budget.

pynetdicom writes the data set of a C-STORE into a file as it arrives. Here the file is one of the
spool's; what would exceed the budget or fill the disk is read on, because only the end of an
instance can be answered, but not kept. A peer that holds more of the budget than any other cannot
keep it from them: where another needs room, its largest instance is cut off.
"""

import logging
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pynetdicom import _config, dimse_messages, evt
from pynetdicom.dimse_messages import C_STORE_RQ

from hagan_clinic.node.associations import hang_up
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.logs import log

_LARGEST_OTHER = 2**20
"""Bytes of a message other than C-STORE, which is held in memory."""


class OversizedError(OSError):
    """A peer sends more than an instance can be."""


class Inflow:
    """Counts the bytes of unfinished instances.

    Args:
        folder: Where they are written.
        config: `max_instance`, `max_in_flight` and `min_free`.
    """

    def __init__(self, folder: Path, config: NodeConfig) -> None:
        self._folder = folder
        self._config = config
        self._lock = threading.Lock()
        self._bytes: dict[Any, int] = {}
        self._dropped: set[Any] = set()

    @contextmanager
    def to_disk(self) -> Iterator[None]:
        """Have pynetdicom, in the whole process, write what arrives into the folder meanwhile."""
        before = _config.STORE_RECV_CHUNKED_DATASET, dimse_messages.NamedTemporaryFile
        _config.STORE_RECV_CHUNKED_DATASET = True
        dimse_messages.NamedTemporaryFile = partial(NamedTemporaryFile, dir=self._folder)
        try:
            yield
        finally:
            _config.STORE_RECV_CHUNKED_DATASET, dimse_messages.NamedTemporaryFile = before

    def arriving(self, association: Any, size: int) -> None:
        """So many bytes of a PDU are about to be read.

        Raises:
            OversizedError: The message is larger than it may be.
        """
        message = association.dimse.message
        with self._lock:
            if message is None and association.dimse.msg_queue.empty():
                self._forget(association)  # what came before is dealt with
            count = self._bytes.get(association, 0) + size
            self._bytes[association] = count
            for one in [one for one in self._bytes if not one.is_alive()]:
                self._forget(one)
        stores = message is None or isinstance(message, C_STORE_RQ)
        if count > (self._config.max_instance_bytes if stores else _LARGEST_OTHER):
            raise OversizedError("more than an instance can be")
        if message is None or message._data_set_file is None or is_dropped(message._data_set_file):
            return
        room = shutil.disk_usage(self._folder).free - size >= self._config.min_free_bytes
        if not (room and self._has_budget(association)):
            with self._lock:
                self._dropped.add(association)
            message._data_set_file.close()
            os.truncate(message._data_set_path, 0)
            message._data_set_file = _Dropped(message._data_set_file.name)

    def _has_budget(self, association: Any) -> bool:
        """Whether there is budget for what an association sends, that of others included."""
        cut_off = []
        with self._lock:
            while True:
                kept = {one: n for one, n in self._bytes.items() if one not in self._dropped}
                if sum(kept.values()) <= self._config.max_in_flight_bytes:
                    break
                by_peer: Counter[str] = Counter()
                for one, count in kept.items():
                    by_peer[_peer(one)] += count
                most = max(by_peer, key=by_peer.__getitem__)
                if by_peer[_peer(association)] == by_peer[most]:
                    break
                largest = max((one for one in kept if _peer(one) == most), key=kept.__getitem__)
                self._forget(largest)
                cut_off.append(largest)
        for one in cut_off:
            log("cut off", level=logging.WARNING, why="max_in_flight", address=_peer(one))
            hang_up(one)
        return sum(kept.values()) <= self._config.max_in_flight_bytes

    def dealt_with(self, association: Any) -> None:
        """What an association sent is in the spool or refused: it holds nothing of the budget."""
        with self._lock:
            self._forget(association)

    def ended(self, event: evt.Event) -> None:
        """A connection has ended: what is not whole is deleted."""
        dimse = event.assoc.dimse
        with self._lock:
            self._forget(event.assoc)
        unfinished = [getattr(dimse.message, "_data_set_path", None)]
        unfinished += [getattr(one, "_dataset_path", None) for _, one in dimse.msg_queue.queue]
        for path in unfinished:
            if path is not None:
                with suppress(FileNotFoundError):
                    path.unlink()

    def _forget(self, association: Any) -> None:
        self._bytes.pop(association, None)
        self._dropped.discard(association)


def _peer(association: Any) -> str:
    return str(association.requestor.address)


class _Dropped:
    """Stands for the file of an instance of which the rest is not kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.file = self

    def write(self, content: bytes) -> int:
        return len(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def is_dropped(file: object) -> bool:
    """Whether an instance was not kept for want of room."""
    return isinstance(file, _Dropped)
