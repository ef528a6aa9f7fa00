"""Settings of conditional HA-GAN, and what those of every translating model share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from hagan_clinic.backbone.optimisation import MUON_BETAS, ParameterGroup
from hagan_clinic.conditional.generator import SIDE_MULTIPLE, GeneratorConfig
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_choice, check_range, check_window


@dataclass(frozen=True)
class TranslationConfig(TrainingConfig):
    """Settings of every model of ``--mode conditional``.

    Attributes:
        source: sequences the generator sees.
        target: sequence it makes.
        window: scanner values of the source that become -1 and 1, such as (0, 80) HU for a head CT;
            empty for the percentiles of brain MR.
    """

    source: tuple[str, ...] = ("t1",)
    target: str = "flair"
    window: tuple[float, ...] = ()

    reach: ClassVar[int] = 0
    """Slices on each side of a slab that make its result that of the whole volume."""
    next_command: ClassVar[str] = "hagan-clinic export {run} -o model.onnx"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.window)
        if not self.source:
            raise InputError("--source is empty: name at least one sequence, e.g. --source t1")

    @property
    def recipe(self) -> Recipe:
        """The same for every model, so that they see the same and may share prepared volumes."""
        return Recipe(
            sources=self.source,
            target=self.target,
            spacing=(self.spacing,) * 3,
            multiple=SIDE_MULTIPLE,
            halo=self.reach,
            interval_factor=0.0,
            window=self.window,
        )

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": 0}


def check_halo(halo: int) -> None:
    """Refuse a halo that is not on whole low-resolution voxels."""
    if halo % 4 or halo < 0:
        raise InputError(f"--halo is {halo}: expected 0 or a multiple of 4")


def presets(**tiny: Any) -> dict[str, Mapping[str, Any]]:
    """The presets, of which what makes a model small is its own."""
    shared = {"steps": 8, "batch_size": 1, "spacing": 6.0, "validate_every": 4}
    return {
        "default": {},
        "cpu": {"steps": 3000, "batch_size": 1, "validate_every": 250, "checkpoint_every": 100},
        "gpu": {"steps": 40000, "batch_size": 4, "precision": "bf16-mixed", "workers": 8},
        "tiny": {**shared, "checkpoint_every": 4, **tiny},
    }


@dataclass(frozen=True)
class AdversarialConfig(TranslationConfig):
    """How a translating model is trained, whatever its networks: HA-GAN's way by default.

    Attributes:
        optimizer: the generator's: ``muon`` for its hidden convolutions, or ``adamw`` for all.
            Its rate warms up to ``generator_lr``, then falls along a cosine to 1/100.
        adversarial_start: fraction of the steps after which the discriminators join.
        weight_structure: 1 - SSIM within the brain.
        weight_adversarial: each adversarial term; 0 trains without them.
        weight_background: of voxels outside the brain, relative to those inside.
    """

    optimizer: str = "muon"
    adversarial_start: float = 0.9
    weight_structure: float = 0.3
    weight_adversarial: float = 0.003
    weight_background: float = 0.05

    optimizers: ClassVar[tuple[str, ...]] = ("muon", "adamw")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "optimizer", self.optimizers)
        check_range(self, ("weight_structure", "weight_adversarial"), zero=True)
        check_range(self, ("adversarial_start", "weight_background"), zero=True, highest=1)

    def joined(self, step: int) -> bool:
        """Whether the discriminators take part in a step."""
        return self.weight_adversarial > 0 and step >= round(self.adversarial_start * self.steps)

    def generator_group(self, generator: nn.Module) -> ParameterGroup:
        """The generator's parameters and how ``optimizer`` updates them."""
        return ParameterGroup(
            list(generator.parameters()),
            self.generator_lr,
            betas=MUON_BETAS,
            weight_decay=1e-4,
            decays=True,
            muon=self.optimizer == "muon",
        )


@dataclass(frozen=True)
class ConditionalConfig(AdversarialConfig):
    """Settings of ``--mode conditional``.

    Attributes:
        halo: real slices on each side of a slab, outside the loss, a multiple of 4.
        half_width, quarter_width, high_blocks: see ``conditional.GeneratorConfig``.
        weight_high: reconstruction of the slab X_r^H (as L_recon^H, eq. 6, and the slab's part of
            eq. 7).
        weight_low: reconstruction of the low-resolution volume X^L (as in L_recon^G, eq. 7).
        weight_likelihood: Laplace likelihood of the slab's error (fits the error bar only).
    """

    halo: int = 8
    half_width: int = GeneratorConfig.half_width
    quarter_width: int = GeneratorConfig.quarter_width
    high_blocks: int = GeneratorConfig.high_blocks
    weight_high: float = 4.0
    weight_low: float = 4.0
    weight_likelihood: float = 0.2

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        slab=16, halo=4, half_width=8, quarter_width=16
    )
    init_from_files: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("half_width", "quarter_width", "high_blocks"))
        check_range(self, ("weight_high", "weight_low", "weight_likelihood"), zero=True)
        check_halo(self.halo)
        if self.slab < 8:
            raise InputError(f"--slab is {self.slab}: expected 8 or more, for the structure loss")

    def sizes(self) -> GeneratorConfig:
        """The generator's widths and depths."""
        return GeneratorConfig(
            source_channels=len(self.source),
            half_width=self.half_width,
            quarter_width=self.quarter_width,
            high_blocks=self.high_blocks,
            low_res_branch=self.low_res_branch,
        )

    @property
    def recipe(self) -> Recipe:
        """With the halo that the generator's depth needs."""
        return replace(super().recipe, halo=self.sizes().halo)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": self.halo}
