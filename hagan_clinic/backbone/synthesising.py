"""What an unconditional model is used through after training: its generator and its encoder."""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn


class SynthesisSizes(Protocol):
    """Sizes of a generator and its encoder."""

    @property
    def size(self) -> tuple[int, int, int]:
        """(D, H, W) of a volume."""

    @property
    def slab(self) -> int:
        """Slices that are made at a time where a halo allows slabs."""

    @property
    def multiple(self) -> int:
        """What every side is a multiple of."""

    @property
    def halo(self) -> int:
        """Real slices beside a slab that are seen; 0 where volumes are made whole."""

    @property
    def latent(self) -> int:
        """Length of z."""

    @property
    def classes(self) -> int:
        """Class labels that z is joined with."""


class GeneratingNetwork(nn.Module, ABC):
    """z to a volume: ``forward`` gives X^H (B, 1, D, H, W), and A after it where there is one."""

    config: SynthesisSizes

    @abstractmethod
    def context(self, latent: Tensor) -> Tensor:
        """The features A that slabs are made from, of z (B, latent + classes)."""

    @abstractmethod
    def slabs(self, context: Tensor, starts: Tensor, thickness: int) -> Tensor:
        """Each sample's slab: A and r (B,) -> X_r^H (B, 1, thickness, H, W)."""


class EncodingNetwork(nn.Module, ABC):
    """A volume to z."""

    @abstractmethod
    def encode(self, volume: Tensor) -> Tensor:
        """The z (B, latent) of whole volumes (B, 1, D, H, W)."""


class AutoencodingNetwork(nn.Module):
    """All that is left after training; ``encoder`` is None for a model that has none."""

    config: SynthesisSizes
    generator: GeneratingNetwork
    encoder: EncodingNetwork | None
