"""What ``--mode conditional --model cgan3d-patch`` and ``cgan3d-laf`` train."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hagan_clinic.baselines.cgan3d_laf import LocalFusion, LocalFusionGAN
from hagan_clinic.baselines.cgan3d_patch import PatchPairGAN, PatchTranslator
from hagan_clinic.baselines.paired import PairedGAN, PairedObjective
from hagan_clinic.errors import InputError
from hagan_clinic.training.baselines.paired import PairedConfig, PairedRun, check_levels, presets
from hagan_clinic.training.config import TrainingConfig, check_range

SMALLEST_PATCH = 32
"""What the PatchGAN's kernels need."""


@dataclass(frozen=True)
class PatchConfig(PairedConfig):
    """Settings of ``--model cgan3d-patch``; the defaults are the paper's.

    Attributes:
        patch: side of the patches that it learns from and translates.
        levels: how often the U-Net halves a patch.
    """

    model: str = "cgan3d-patch"
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    weight_l1: float = 300.0
    patch: int = 128
    levels: int = 7

    smaller: ClassVar[str] = "--set patch=N"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.levels)
        if self.patch < SMALLEST_PATCH or self.patch % 2**self.levels:
            raise InputError(
                f"patch is {self.patch}: expected at least {SMALLEST_PATCH} and a multiple of "
                f"{2**self.levels}, as the U-Net halves it {self.levels} times (levels)"
            )
        if self.slab != TrainingConfig.slab:
            raise InputError(
                f"--slab is {self.slab}: --model {self.model} learns from patches; give their "
                "side with --set patch=N"
            )


@dataclass(frozen=True)
class FusionConfig(PatchConfig):
    """Settings of ``--model cgan3d-laf``.

    Attributes:
        size: (D, H, W) of the training box, which holds a brain at 1.5 mm by default.
        cell: side of the cells in which patches are fused, which divides patch and size.
        ridge: how strongly the weights of a cell are drawn to the mean.
        fit_every: steps from one whole volume of the fit to the next.
    """

    model: str = "cgan3d-laf"
    size: tuple[int, int, int] | None = (128, 160, 128)
    cell: int = 16
    ridge: float = 0.01
    fit_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("cell", "ridge", "fit_every"))
        if self.size is None:
            raise InputError(
                "size is missing: the fusion is fitted at places of a box, e.g. --size 128,160,128"
            )
        if any(length % self.cell for length in (self.patch, *self.size)):
            raise InputError(
                f"cell is {self.cell}: expected a number that divides patch ({self.patch}) and "
                f"size ({'x'.join(map(str, self.size))})"
            )


@dataclass(frozen=True)
class PatchRun(PairedRun):
    """The 3D conditional GAN on patches that a configuration describes."""

    config: PatchConfig

    settings: ClassVar[type[PatchConfig]] = PatchConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets({"patch": 32, "levels": 5})
    halo: ClassVar[int] = 0
    least_squares: ClassVar[bool] = True

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts patches."""
        return {"cube": self.config.patch}

    def built(self, objective: PairedObjective) -> PairedGAN:
        """The model of this configuration."""
        config, channels = self.config, len(self.config.source)
        translator = PatchTranslator(
            channels, patch=config.patch, levels=config.levels, width=config.width
        )
        return PatchPairGAN(translator, channels, objective, width=config.width)


@dataclass(frozen=True)
class FusionRun(PatchRun):
    """The same with local adaptive fusion."""

    config: FusionConfig

    settings: ClassVar[type[FusionConfig]] = FusionConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        {"size": (32, 48, 32), "patch": 32, "levels": 5, "cell": 8, "fit_every": 1}
    )

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts patches."""
        return {"cube": self.config.patch, "whole": True}

    def built(self, objective: PairedObjective) -> PairedGAN:
        """The model of this configuration."""
        config, channels = self.config, len(self.config.source)
        assert config.size is not None
        translator = LocalFusion(
            channels,
            config.size,
            patch=config.patch,
            cell=config.cell,
            ridge=config.ridge,
            levels=config.levels,
            width=config.width,
        )
        return LocalFusionGAN(
            translator, channels, objective, width=config.width, fit_every=config.fit_every
        )
