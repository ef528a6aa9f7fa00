"""An unconditional baseline in training: what the training loop asks of each of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.optimisation import ParameterGroup
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.synthesising import AutoencodingNetwork
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_window
from hagan_clinic.training.variant import TrainableModel, Validation
from hagan_clinic.unconditional.settings import UnconditionalRun
from hagan_clinic.unconditional.validation import validate_synthesis
from hagan_clinic.unconditional.volumes import (
    SIDES,
    VolumeAutoencoder,
    VolumeGenerator,
    VolumeSizes,
    WholeVolumeEncoder,
)


class VolumeGAN(nn.Module, ABC):
    """Networks that stay after training, discriminators that do not, and their optimisers.

    Args:
        config: sizes.
        decoder: the generator's layers.
        encoder: the encoder's, if there is one.
        generator_lr: of the Adam of generator and encoder.
        discriminator_lr: of those of the discriminators.
        seed: of the noise.
    """

    betas: ClassVar[tuple[float, float]]
    """Of every Adam."""

    def __init__(
        self,
        config: VolumeSizes,
        decoder: nn.Module,
        encoder: nn.Module | None = None,
        *,
        generator_lr: float,
        discriminator_lr: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.generator_lr, self.discriminator_lr = generator_lr, discriminator_lr
        self.seed = seed
        self.autoencoder = VolumeAutoencoder(
            config,
            VolumeGenerator(config, decoder),
            None if encoder is None else WholeVolumeEncoder(config, encoder),
        )

    @property
    def decoder(self) -> nn.Module:
        """The generator's layers."""
        return self.autoencoder.generator.layers

    @property
    def module(self) -> nn.Module:
        """All that trains."""
        return self

    @property
    def averaged(self) -> nn.Module:
        """Generator and encoder."""
        return self.autoencoder

    @property
    @abstractmethod
    def discriminators(self) -> Mapping[str, nn.Module]:
        """By the name of its parameter group."""

    @property
    def makers(self) -> Mapping[str, nn.Module]:
        """The same of generator and encoder."""
        return {"generator": self.autoencoder}

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""
        rated = [(self.discriminators, self.discriminator_lr), (self.makers, self.generator_lr)]
        return {
            name: ParameterGroup(list(part.parameters()), rate, self.betas)
            for parts, rate in rated
            for name, part in parts.items()
        }

    def drawn(self, batch: Mapping[str, Tensor], draw: int) -> Tensor:
        """The noise z (B, latent) of a batch."""
        latent = noise(self.seed, batch["index"], draw, self.config.latent)
        return latent.to(batch["source_whole"].device)


@dataclass(frozen=True)
class VolumeConfig(TrainingConfig):
    """Settings of every unconditional baseline.

    Attributes:
        image: the sequence that is learnt.
        window: as of HA-GAN.
        size: (D, H, W), a cube of 32, 64, 128 or 256 voxels a side.
        slab: without a meaning.
        latent: length of z.
        width: what every number of channels follows from, a multiple of 4.
    """

    mode: str = "unconditional"
    image: str = "t1"
    window: tuple[float, ...] = ()
    size: tuple[int, int, int] | None = (128, 128, 128)
    slab: int = 4
    steps: int = 80000
    batch_size: int = 4
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    clip: float = 0.0
    ema: float = 0.0
    validate_every: int = 1000
    latent: int = 1000
    width: int = 64

    smaller: ClassVar[str] = "--size"
    encoder: ClassVar[bool] = False
    classes: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.window)
        if self.size is None:
            raise InputError("size is missing: a latent space needs one, e.g. --size 128")
        if self.slab != VolumeConfig.slab:
            raise InputError(
                f"--slab is {self.slab}: --model {self.model} learns from whole volumes; leave the "
                "option out"
            )
        if not self.low_res_branch:
            raise InputError(
                f"--no-low-res-branch: --model {self.model} has none; leave the option out"
            )
        # Batch norm, and the spread of a batch, are of several volumes.
        if self.batch_size < 2:
            raise InputError(
                f"--batch-size is {self.batch_size}: --model {self.model} compares the volumes of "
                "a batch, expected 2 or more"
            )
        self.sizes()

    def sizes(self) -> VolumeSizes:
        """The model's sizes.

        Raises:
            InputError: they do not fit.
        """
        assert self.size is not None
        return VolumeSizes(self.size, self.latent, self.width)


@dataclass(frozen=True)
class VolumeRun(ABC):
    """The model and the recipe that the configuration of an unconditional baseline describes."""

    config: VolumeConfig
    recipe: Recipe

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "cpu": {
            "size": (64, 64, 64),
            "spacing": 3.0,
            "steps": 1600,
            "latent": 32,
            "width": 16,
            "validate_every": 200,
            "checkpoint_every": 100,
            "augment": {"scale": 0.02, "degrees": 2.0, "shift_mm": 1.5},
        },
        "gpu": {"precision": "bf16-mixed", "workers": 8},
        "tiny": {
            "size": (32, 32, 32),
            "spacing": 6.0,
            "steps": 8,
            "batch_size": 2,
            "latent": 8,
            "width": 4,
            "validate_every": 4,
            "checkpoint_every": 4,
        },
    }
    augment: ClassVar[AugmentConfig] = UnconditionalRun.augment
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fewest_calibration: ClassVar[int] = UnconditionalRun.fewest_calibration
    init_from_files: ClassVar[bool] = False
    next_command: ClassVar[str] = UnconditionalRun.next_command

    @classmethod
    def of(cls, config: Any) -> Self:
        """Read the run's recipe off its configuration."""
        recipe = Recipe(
            sources=(config.image,),
            target="",
            spacing=(config.spacing,) * 3,
            multiple=SIDES[0],
            halo=0,
            interval_factor=0.0,
            window=config.window,
        )
        return cls(config, recipe)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs: thin ones beside the whole volume."""
        return {"halo": 0, "whole": True}

    def labels(self, subjects: Sequence[Subject]) -> list[int] | None:
        """These models know no classes."""
        return None

    def model(self) -> TrainableModel:
        """A model with weights from the seed."""
        config = self.config
        torch.manual_seed(config.seed)
        rates = {"generator_lr": config.generator_lr, "discriminator_lr": config.discriminator_lr}
        return self.built(config.sizes(), {**rates, "seed": config.seed})

    @abstractmethod
    def built(self, sizes: VolumeSizes, settings: dict[str, Any]) -> TrainableModel:
        """The model of these sizes; ``settings`` are rates and the seed."""

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Figures of the generator, and of the encoder if there is one."""
        assert isinstance(averaged, AutoencodingNetwork)
        return validate_synthesis(
            averaged, subjects, device, seed=self.config.seed, encoder=self.config.encoder
        )

    def parts(self, model: Any) -> list[Part]:
        """The parts of its model."""
        assert self.config.size is not None
        parts: list[Part] = model.parts(self.config.size)
        return parts
