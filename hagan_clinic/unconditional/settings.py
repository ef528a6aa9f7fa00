"""What ``--mode unconditional`` trains: recipe, model and validation of a synthesis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hagan_clinic.backbone.diffaugment import DiffAugment
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_choice, check_range, check_window
from hagan_clinic.training.variant import Validation
from hagan_clinic.unconditional import HAGAN, Autoencoder, HAGANConfig, Objective
from hagan_clinic.unconditional.validation import validate_synthesis

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "released": {
        "norm": "group",
        "weight_reconstruction": 1.0,
        "ema": 0.0,
        "diffaugment": False,
        "augment": {"flip": 0.0, "affine": 0.0},
    },
}
"""Settings that ``--variant`` stands for; each can still be given."""


@dataclass(frozen=True)
class UnconditionalConfig(TrainingConfig):
    """Settings of ``--mode unconditional``; the defaults are the paper's where it has one.

    Attributes:
        image: the sequence that is learnt.
        window: scanner values that become -1 and 1, such as (-1024, 600) HU for chest CT; empty for
            the percentiles of brain MR.
        latent: length of z.
        width: channels of G^A's first layers; see ``unconditional.HAGANConfig``.
        discriminator_width: channels of D^H's widest layer.
        norm: ``position`` or ``group``, see ``unconditional.HAGANConfig``.
        label: column of the cohort's CSV that holds a class label; empty for none.
        classes: the labels that it holds, in the order of their one-hot vectors.
        encoder: False is the ablation without E^H and E^G.
        encoder_loss_to_generator: the reconstruction losses train G too; otherwise the
            encoder cannot influence it.
        deterministic_r: the ablation that takes the disjoint slabs in turn instead of drawing r.
        variant: ``paper``, or ``released`` for the choices of the authors' code: one cross-entropy
            on averaged logits, lambda 1, group norm, no moving average.
        weight_reconstruction: lambda_1 and lambda_2 of eq. 8.
        optimizer: of G and E: ``adam``, the paper's, at a constant rate; or ``muon``, which learns
            faster (``training.muon``), at a rate that warms up, then falls along a cosine.
        weight_prior: of the discrepancy between encoded z and N(0, I) in E^G's loss, see
            ``unconditional.prior``; the paper has none.
        weight_class: of the auxiliary class losses in G.
        diffaugment: augment what the discriminators see (``backbone.diffaugment``).
        gradient_checkpointing: recompute norms and activations in the backward pass: a little
            slower, smaller.
    """

    mode: str = "unconditional"
    image: str = "t1"
    window: tuple[float, ...] = ()
    size: tuple[int, int, int] | None = (128, 128, 128)
    slab: int = 0
    steps: int = 80000
    batch_size: int = 4
    generator_lr: float = 1e-4
    discriminator_lr: float = 4e-4
    clip: float = 0.0
    validate_every: int = 1000
    latent: int = 1024
    width: int = 512
    discriminator_width: int = 512
    norm: str = "position"
    label: str = ""
    classes: tuple[str, ...] = ()
    encoder: bool = True
    encoder_loss_to_generator: bool = False
    deterministic_r: bool = False
    variant: str = "paper"
    weight_reconstruction: float = 5.0
    optimizer: str = "adam"
    weight_prior: float = 0.0
    weight_class: float = 0.1
    diffaugment: bool = True
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.slab == 0 and self.size is not None:
            object.__setattr__(self, "slab", default_slab(self.size[0]))
        super().__post_init__()
        check_choice(self, "variant", tuple(VARIANTS))
        check_choice(self, "norm", ("position", "group"))
        check_choice(self, "optimizer", ("adam", "muon"))
        check_range(self, ("weight_reconstruction", "weight_prior", "weight_class"), zero=True)
        check_window(self.window)
        if self.size is None:
            raise InputError("size is missing: a latent space needs one, e.g. --size 128")
        if bool(self.label) != bool(self.classes):
            raise InputError(
                f"label is {self.label!r} and classes are {list(self.classes)}: give both, the "
                "column of the cohort's CSV and the values that it holds, or neither"
            )
        for name in ("encoder_loss_to_generator", "weight_prior"):
            if getattr(self, name) and not self.encoder:
                raise InputError(f"{name} needs the encoder: leave --no-encoder out")
        if self.weight_prior and self.batch_size < 2:
            raise InputError(
                f"weight_prior compares the volumes of a batch, and --batch-size is "
                f"{self.batch_size}: expected 2 or more"
            )
        self.sizes()

    def sizes(self) -> HAGANConfig:
        """The model's sizes.

        Raises:
            InputError: they do not fit together.
        """
        assert self.size is not None
        return HAGANConfig(
            size=self.size,
            slab=self.slab,
            latent=self.latent,
            width=self.width,
            discriminator_width=self.discriminator_width,
            classes=len(self.classes),
            norm=self.norm,
        )


def default_slab(depth: int) -> int:
    """An eighth of the depth, as in the paper, or less where that divides it: a multiple of 4."""
    fitting = [slab for slab in range(4, max(4, depth // 8) + 1, 4) if depth % slab == 0]
    return fitting[-1] if fitting else 4


@dataclass(frozen=True)
class UnconditionalRun:
    """The model and the recipe that a configuration of ``--mode unconditional`` describes."""

    config: UnconditionalConfig
    recipe: Recipe

    settings: ClassVar[type[UnconditionalConfig]] = UnconditionalConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "cpu": {
            "size": (64, 64, 64),
            "spacing": 3.0,
            "slab": 8,
            "steps": 1600,
            "latent": 32,
            "width": 128,
            "discriminator_width": 256,
            "encoder_loss_to_generator": True,
            "weight_reconstruction": 20.0,
            "weight_prior": 4.0,
            "diffaugment": False,
            "optimizer": "muon",
            "generator_lr": 3e-3,
            "ema": 0.99,
            "validate_every": 200,
            "checkpoint_every": 100,
            "augment": {"scale": 0.02, "degrees": 2.0, "shift_mm": 1.5},
        },
        "gpu": {"precision": "bf16-mixed", "workers": 8},
        "tiny": {
            "size": (32, 32, 32),
            "spacing": 6.0,
            "slab": 4,
            "steps": 8,
            "batch_size": 2,
            "latent": 8,
            "width": 64,
            "discriminator_width": 64,
            "validate_every": 4,
            "checkpoint_every": 4,
        },
    }
    augment: ClassVar[AugmentConfig] = replace(
        AugmentConfig.none(),
        stripped=1.0, flip=0.5, affine=0.5, scale=0.05, degrees=4.0, shift_mm=3.0,
    )  # fmt: skip
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = VARIANTS
    fewest_calibration: ClassVar[int] = 2  # pairs, and a spread, are of two or more
    init_from_files: ClassVar[bool] = False
    next_command: ClassVar[str] = "hagan-clinic sample {run} -o samples"

    @classmethod
    def of(cls, config: UnconditionalConfig) -> "UnconditionalRun":
        """Read the run's recipe off its configuration."""
        recipe = Recipe(
            sources=(config.image,),
            target="",
            spacing=(config.spacing,) * 3,
            multiple=config.sizes().multiple,
            halo=config.sizes().halo,
            interval_factor=0.0,
            window=config.window,
        )
        return cls(config, recipe)

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        config = self.config
        return {"halo": 0, "in_turn": config.deterministic_r, "whole": config.encoder}

    def labels(self, subjects: Sequence[Subject]) -> list[int] | None:
        """The number of every subject's class.

        Raises:
            InputError: a subject without a label, or with one that is not among the classes.
        """
        column, classes = self.config.label, self.config.classes
        if not column:
            return None
        for subject in subjects:
            if (label := subject.values.get(column, "")) not in classes:
                found = f"{column} {label!r}" if label else f"no value in the column {column!r}"
                raise InputError(
                    f"{subject.name} has {found}: expected one of {', '.join(classes)}, in the "
                    "CSV that --data names"
                )
        return [classes.index(subject.values[column]) for subject in subjects]

    def model(self) -> HAGAN:
        """A model with weights from the seed."""
        config = self.config
        torch.manual_seed(config.seed)
        objective = Objective(
            low_res_branch=config.low_res_branch,
            encoder=config.encoder,
            encoder_to_generator=config.encoder_loss_to_generator,
            averaged_logits=config.variant == "released",
            weight_reconstruction=config.weight_reconstruction,
            weight_prior=config.weight_prior,
            weight_class=config.weight_class,
            augment=DiffAugment() if config.diffaugment else None,
            generator_lr=config.generator_lr,
            muon=config.optimizer == "muon",
            discriminator_lr=config.discriminator_lr,
            seed=config.seed,
        )
        return HAGAN(config.sizes(), objective, checkpointing=config.gradient_checkpointing)

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Figures of the averaged generator and encoder on the calibration patients."""
        assert isinstance(averaged, Autoencoder)
        return validate_synthesis(
            averaged,
            subjects,
            device,
            seed=self.config.seed,
            encoder=self.config.encoder,
            labels=labels,
        )

    def parts(self, model: HAGAN) -> list[Part]:
        """The parts of its model."""
        return list(_parts(model))


def _parts(model: HAGAN) -> Iterator[Part]:
    config, objective = model.config, model.objective
    generator, encoder = model.autoencoder.generator, model.autoencoder.encoder
    d, h, w = config.size
    low = (d // LOW_RES_FACTOR, h // LOW_RES_FACTOR, w // LOW_RES_FACTOR)
    context, slab = (config.context_channels, *low), (1, config.slab, h, w)

    def slabs(features: Tensor) -> Tensor:
        starts = torch.zeros(len(features), dtype=torch.long, device="cpu")
        return generator.slabs(features, starts, config.slab)

    joined = (config.latent + config.classes,)
    yield Part("G^A", generator.trunk, (joined,), generator.context)
    if objective.low_res_branch:
        yield Part("G^L", generator.low, (context,), generator.low)
    yield Part("G^H", generator.high, (context,), slabs)
    yield Part("D^H", model.slab_discriminator, (slab, ()), model.slab_discriminator.logits)
    if model.low_discriminator is not None:
        yield Part("D^L", model.low_discriminator, ((1, *low),), model.low_discriminator.logits)
    if objective.encoder:
        yield Part("E^H", encoder.slab, (slab,), encoder.slab)
        yield Part("E^G", encoder.latent, (context,), encoder.latent)
