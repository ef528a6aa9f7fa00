"""Connect to a Dask cluster, or start one of this machine's processes."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic import __version__
from hagan_clinic.errors import DeviceError, InputError
from hagan_clinic.runtime.memory import available
from hagan_clinic.runtime.session import usable_cpus

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

LOCAL = "local"
MEMORY_OF_ONE = 3 * 2**30
CONNECT_SECONDS = 20


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
