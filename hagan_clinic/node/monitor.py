"""Health and metrics by HTTP, to this machine alone."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from hagan_clinic.errors import OutputError

Health = Callable[[], Mapping[str, Any]]
"""Facts of the node's state; `ok` says whether all is well."""


class _Quiet(WSGIRequestHandler):
    timeout = 10  # of a client that opens a connection and says nothing

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def monitored(port: int, registry: CollectorRegistry, health: Health) -> Iterator[int]:
    """Serve `/health` (503 when something is wrong) and `/metrics` on 127.0.0.1 meanwhile.

    Yields:
        The port; port 0 lets the system choose.

    Raises:
        OutputError: The port is taken.
    """
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/health":
            facts = health()
            status = "200 OK" if facts["ok"] else "503 Service Unavailable"
            start(status, [("Content-Type", "application/json")])
            return [json.dumps(facts).encode()]
        if environ["PATH_INFO"] == "/metrics":
            page: Iterable[bytes] = metrics(environ, start)
            return page
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/health or /metrics\n"]

    try:
        server = make_server("127.0.0.1", port, answer, WSGIServer, _Quiet)
    except OSError as error:
        raise OutputError(
            f"cannot serve metrics on port {port}: {error.strerror}; choose another http_port"
        ) from error
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
