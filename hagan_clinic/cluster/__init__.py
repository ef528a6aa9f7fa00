"""Work on a Dask cluster: connect to it, spread pieces over its workers, and act within one."""

from hagan_clinic.cluster.connecting import connected, require
from hagan_clinic.cluster.devices import WorkerDevices
from hagan_clinic.cluster.in_worker import (
    UnfitWorkerError,
    asked_to_stop,
    own_address,
    own_memory,
    own_threads,
)
from hagan_clinic.cluster.paths import absolute, model_anywhere
from hagan_clinic.cluster.spreading import spread

__all__ = [
    "UnfitWorkerError",
    "WorkerDevices",
    "absolute",
    "asked_to_stop",
    "connected",
    "model_anywhere",
    "own_address",
    "own_memory",
    "own_threads",
    "require",
    "spread",
]
