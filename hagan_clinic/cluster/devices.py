"""Where the networks of a cluster's workers run."""

from collections import Counter
from collections.abc import Callable

from hagan_clinic.runtime.providers import Device


class WorkerDevices:
    """What each worker's network runs on; one that runs on the CPU for want of CUDA is told of.

    Args:
        say: Told so, once a worker.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._names: dict[str, str] = {}

    def saw(self, worker: str, device: Device) -> None:
        """Take in what a worker with this address ran on."""
        if worker not in self._names and device.note:
            self._say(f"warning: worker {worker}: {device.note}")
        self._names[worker] = device.name

    def __bool__(self) -> bool:
        """Whether anything has run."""
        return bool(self._names)

    def __str__(self) -> str:
        """Such as `2 workers on cuda, 1 on cpu`."""
        (first, count), *others = Counter(self._names.values()).most_common()
        words = [f"{count} worker{'s' * (count > 1)} on {first}"]
        return ", ".join(words + [f"{count} on {name}" for name, count in others])
