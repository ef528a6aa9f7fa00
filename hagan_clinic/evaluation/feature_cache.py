"""Features on disk, by the content of the volume and the network that saw it."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import atomic_path

Float32 = NDArray[np.float32]


class FeatureExtractor(Protocol):
    """A network that sees a volume (D, H, W) in [0, 1] and says it in some numbers.

    Attributes:
        features: How many.
        identity: Of the network and its weights, for the names of files.
        description: The same for the reader of a table.
    """

    features: int
    identity: str
    description: str

    def __call__(self, volume: Float32) -> Float32:
        """The features of a volume."""
        ...


class FeatureCache:
    """Computes each volume's features once; a volume is in memory for as long as that takes.

    Args:
        network: What computes.
        folder: Of one small file a volume; created if missing.

    Attributes:
        folder: As given.
        computed: How many volumes the network has seen.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, network: FeatureExtractor, folder: Path) -> None:
        self._network, self.folder = network, folder
        self.computed = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error

    def all(
        self, volumes: Sequence[Float32], step: Callable[[], None] = lambda: None
    ) -> NDArray[np.float64]:
        """Features (volumes, features) of volumes (D, H, W) in [0, 1], made as they are asked for.

        Args:
            volumes: Taken one after the other.
            step: Called after each.
        """
        rows = np.empty((len(volumes), self._network.features))
        for number in range(len(volumes)):
            rows[number] = self._features(volumes[number])
            step()
        return rows

    def _features(self, volume: Float32) -> Float32:
        path = self.folder / f"{self._key(volume)}.npy"
        try:
            found: Float32 = np.load(path, allow_pickle=False)
            if found.shape == (self._network.features,):
                return found
        except (OSError, ValueError, EOFError):  # not there, or cut off
            pass
        features = self._network(volume)
        self.computed += 1
        with atomic_path(path) as temporary:
            np.save(temporary, features)
        return features

    def _key(self, volume: Float32) -> str:
        digest = hashlib.sha256(f"{self._network.identity} {volume.shape}".encode())
        digest.update(np.ascontiguousarray(volume, np.float32).data)
        return digest.hexdigest()
