"""The sizes of unconditional HA-GAN, and which of them fit together."""

import math
from dataclasses import dataclass

from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.errors import InputError
from hagan_clinic.unconditional.components import CELL

LARGEST_UPSAMPLES = 4
SMALLEST_BASE = 4
"""G^A starts from a grid of about so many voxels a side."""

SMALLEST_CONTEXT = 4
"""Voxels a side that A has at least; twice as many with one level, as in the paper."""

HALO = 4
"""Slices beside a slab that its G^H sees with norm ``position``: two convolutions reach three."""

TRAINING_HALO = 8
"""The most of them in training: a refining G^H reaches further, to little effect."""

LARGEST_COARSE = 32
"""Most voxels a side of the grid that components are kept on, while it is finer than A."""


@dataclass(frozen=True)
class HAGANConfig:
    """Sizes of the unconditional HA-GAN; the defaults are the paper's.

    Attributes:
        size: (D, H, W) of a volume, multiples of ``multiple``.
        slab: thickness of the slabs that train G^H and that E^H encodes; divides D.
        latent: length of z.
        width: channels of G^A's first layers; every other width of G and E is a part of it.
        discriminator_width: channels of D^H's widest layer; every other width of D^H and D^L
            follows.
        classes: class labels that z is joined with, as one-hot vectors.
        norm: ``group``, the paper's: whole volumes and slabs differ. ``position``: G^H normalises
            over channels, and slabs with their halo are what the whole volume is.
        attention: whether G^A attends to its whole coarsest grid (``backbone.attention``).
        levels: of slabs, each four times finer than the one before it (``levels``); A has 1/4 of
            the resolution with one, 1/16 with two.
        context: channels of A in G; 0 for the paper's, an eighth of ``width``, as E^H has.
        components: G and E hold the mean and the principal components of the training volumes, and
            learn what these leave (``unconditional.components``).
        refinements: residual blocks in G^H that draw detail into the components' image, all that G
            then sees of z (``unconditional.refinement``); 0 for none.

    Raises:
        InputError: sizes that do not fit together.
    """

    size: tuple[int, int, int] = (128, 128, 128)
    slab: int = 16
    latent: int = 1024
    width: int = 512
    discriminator_width: int = 512
    classes: int = 0
    norm: str = "position"
    attention: bool = False
    levels: int = 1
    context: int = 0
    components: bool = False
    refinements: int = 0

    def __post_init__(self) -> None:
        if self.levels < 1 or (self.levels > 1 and self.norm != "position"):
            raise InputError(
                f"levels is {self.levels} with norm {self.norm}: expected 1, or more with norm "
                "position, which gives slabs of slabs what the whole volume has"
            )
        smallest = SMALLEST_CONTEXT * max(2 // self.levels, 1) * self.factor
        if min(self.size) < smallest:
            raise InputError(
                f"the size is {_times(self.size)}: expected at least {smallest} voxels a side"
                + (f" with {self.levels} levels" if self.levels > 1 else "")
            )
        if any(side % self.multiple for side in self.size):
            raise InputError(
                f"the size is {_times(self.size)}: expected multiples of {self.multiple} voxels "
                f"where the shortest side has {min(self.size)}"
            )
        coarsest = self.depths[0]
        if self.slab <= 0 or self.slab % LOW_RES_FACTOR or coarsest % self.slab:
            of = "the volume" if self.levels == 1 else "level 1"
            raise InputError(
                f"the slab has {self.slab} slices: expected a multiple of {LOW_RES_FACTOR} that "
                f"divides the {coarsest} of {of}"
            )
        for name in ("width", "discriminator_width"):
            value = getattr(self, name)
            if value <= 0 or value % 32:
                raise InputError(f"{name} is {value}: expected a positive multiple of 32")
        if self.context < 0 or self.context % 4:
            raise InputError(f"context is {self.context}: expected a multiple of 4, or 0")
        if self.components and self.levels > 1:
            raise InputError(
                f"components with {self.levels} levels: expected 1, as their image lies beside A"
            )
        if self.refinements < 0 or (self.refinements and not self.components):
            raise InputError(
                f"refinements is {self.refinements}: expected 0, or more with components, whose "
                "image they refine"
            )
        if self.refinements and (self.classes or self.attention):
            raise InputError(
                "refinements with classes or attention: expected neither, as G^A sees the "
                "components' image alone"
            )
        if self.latent < 1 or self.classes < 0 or self.classes == 1:
            raise InputError(
                f"latent is {self.latent} and classes {self.classes}: expected a latent of 1 or "
                "more, and no classes or at least two"
            )

    @property
    def upsamples(self) -> int:
        """How often G^A doubles its grid: 4 for 256, 3 for 128, 2 for 64, 1 for 32."""
        fitting = int(math.log2(min(self.size) / (SMALLEST_BASE * self.factor)))
        return max(1, min(fitting, LARGEST_UPSAMPLES))

    @property
    def multiple(self) -> int:
        """What every side is a multiple of."""
        return self.factor << self.upsamples

    @property
    def factor(self) -> int:
        """How much coarser than the volume A is."""
        return int(LOW_RES_FACTOR**self.levels)

    @property
    def slab_strides(self) -> list[int]:
        """Cubic strides of the discriminator of each level's slabs: 3 for 256 sides, 0 for 32."""
        coarser = range(self.levels - 1, -1, -1)
        sides = [min(self.size) // LOW_RES_FACTOR**by for by in coarser]
        return [min(max(int(math.log2(side / 32)), 0), 3) for side in sides]

    @property
    def depths(self) -> list[int]:
        """Slices of level 1 to the last, which has those of the volume."""
        coarser = range(self.levels - 1, -1, -1)
        return [self.size[0] // LOW_RES_FACTOR**by for by in coarser]

    @property
    def base(self) -> tuple[int, int, int]:
        """The grid that G^A starts from and E^G ends at; 4 cubed for cubes up to 256."""
        d, h, w = (side // self.multiple for side in self.size)
        return d, h, w

    @property
    def context_channels(self) -> int:
        """Channels of the features A that G^H and G^L convolve."""
        return self.context or self.width // 8

    @property
    def held_channels(self) -> int:
        """Channels of A in all: with components an image of the linear model lies beside them."""
        return self.context_channels + (CELL if self.components else 0)

    @property
    def encoded_channels(self) -> int:
        """Channels that E^H gives, an eighth of the width and with components the slab beside."""
        beside = (LOW_RES_FACTOR // self.component_factor) ** 3
        return self.width // 8 + (beside if self.components else 0)

    @property
    def component_factor(self) -> int:
        """Voxels of the volume a side of one of the grid that components are kept on."""
        return 2 if max(self.size) <= 2 * LARGEST_COARSE else LOW_RES_FACTOR

    @property
    def halo(self) -> int:
        """Real slices beside a slab that make it what the whole volume is; 0 for the paper's norm.

        A refining block reaches two voxels of half resolution.
        """
        return HALO + 4 * self.refinements if self.norm == "position" else 0

    @property
    def training_halo(self) -> int:
        """Real slices beside a slab that G^H sees in training, 0 for the paper's norm."""
        return min(TRAINING_HALO, self.halo)


def _times(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
