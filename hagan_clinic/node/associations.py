"""Who is connected to the node: how many may be, and who is turned away.

A connection costs no slot until its peer has asked for an association: load balancers and port
scanners connect and say nothing. Of those that wait, the oldest is closed when they are too many,
because a sender asks as soon as it is connected.
"""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pynetdicom import evt

from hagan_clinic.node.logs import log

WAITING, WAITING_PER_PEER = 64, 16
"""Connections that have not asked for an association yet, in all and of one address."""

_LIMIT = 0x02, 0x03, 0x02  # transient, by the provider: local limit exceeded (PS3.8, 9.3.4)


class Associations:
    """Counts connections and associations, and turns away what is too much.

    Args:
        most: Associations at a time.
        most_per_peer: Of these, from one address.
        wait: Seconds within which a peer asks for one.
        turned_away: Called with why a connection came to nothing: `silent` (nothing asked in time),
            `closed` (the peer went without asking), `crowded` (too many wait), `limit` or
            `peer_limit` (too many associations), `title` (AE titles).
    """

    def __init__(
        self, most: int, most_per_peer: int, wait: float, turned_away: Callable[[str], object]
    ) -> None:
        self._most = most
        self._most_per_peer = most_per_peer
        self._wait = wait
        self._turned_away = turned_away
        self._lock = threading.Lock()
        self._waiting: dict[Any, str] = {}  # addresses; the oldest first
        self._active: dict[Any, str] = {}

    def opened(self, event: evt.Event) -> None:
        """A peer has connected; it may wait, and perhaps an older one in its place no more."""
        event.assoc.opened, event.assoc.has_asked = time.monotonic(), False
        peer = event.assoc.requestor.address
        with self._lock:
            self._waiting = _living(self._waiting)
            alike = [one for one, of in self._waiting.items() if of == peer]
            oldest = None
            if len(alike) >= WAITING_PER_PEER:
                oldest = alike[0]
            elif len(self._waiting) >= WAITING:
                oldest = next(iter(self._waiting))
            if oldest is not None:
                del self._waiting[oldest]
            self._waiting[event.assoc] = peer
        if oldest is not None:
            self._tell("crowded", oldest)
            hang_up(oldest)

    def asked(self, event: evt.Event) -> None:
        """A peer asks for an association: it gets one, or the answer that there are too many."""
        association = event.assoc
        association.has_asked = True
        peer = association.requestor.address
        with self._lock:
            self._waiting.pop(association, None)
            self._active = _living(self._active)
            why = ""
            if Counter(self._active.values())[peer] >= self._most_per_peer:
                why = "peer_limit"
            if len(self._active) >= self._most:
                why = "limit"
            if not why:
                self._active[association] = peer
        if why:
            self._tell(why, association)
            association.acse.send_reject(*_LIMIT)
            association.kill()

    def rejected(self, event: evt.Event) -> None:
        """An association was rejected for its AE titles."""
        with self._lock:
            self._active.pop(event.assoc, None)
        self._tell("title", event.assoc)

    def closed(self, event: evt.Event) -> None:
        """A connection has ended; where nothing was asked, nothing is waited for any longer."""
        association = event.assoc
        with self._lock:
            self._active.pop(association, None)
            waited = self._waiting.pop(association, None)
        if waited is not None:
            late = time.monotonic() - association.opened >= self._wait
            self._tell("silent" if late else "closed", association)
            # The association's thread waits for a request; this ends it now.
            association.dul.to_user_queue.put(None)

    def _tell(self, why: str, association: Any) -> None:
        self._turned_away(why)
        peer = association.requestor
        level = logging.INFO if why == "closed" else logging.WARNING
        caller = peer.primitive.calling_ae_title if peer.primitive else ""
        log("turned away", level=level, why=why, address=peer.address, caller=caller)


def _living(associations: dict[Any, str]) -> dict[Any, str]:
    """Those whose thread is still to begin or at work: an end may go untold."""
    return {one: peer for one, peer in associations.items() if one.ident is None or one.is_alive()}


def hang_up(association: Any) -> None:
    """Close a connection from this side; its own thread then sees the end of it."""
    connection = association.dul.socket.socket
    if connection is not None:
        with suppress(OSError):  # it has just ended by itself
            connection.shutdown(socket.SHUT_RDWR)
    association.dul.to_user_queue.put(None)
