"""Settings of HA-GAN from noise, and what those of every synthesising model share."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from hagan_clinic.backbone.synthesising import SynthesisSizes
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig, check_choice, check_range, check_window
from hagan_clinic.unconditional.sizes import HAGANConfig


@dataclass(frozen=True)
class SynthesisConfig(TrainingConfig):
    """Settings of every model of ``--mode unconditional``.

    Attributes:
        image: the sequence that is learnt.
        window: scanner values that become -1 and 1, such as (-1024, 600) HU for chest CT; empty for
            the percentiles of brain MR.
    """

    mode: str = "unconditional"
    image: str = "t1"
    window: tuple[float, ...] = ()
    size: tuple[int, int, int] | None = (128, 128, 128)
    steps: int = 80000
    batch_size: int = 4
    generator_lr: float = 1e-4
    clip: float = 0.0
    validate_every: int = 1000

    usual_augmentation: ClassVar[AugmentConfig] = replace(
        AugmentConfig.none(),
        stripped=1.0, flip=0.5, affine=0.5, scale=0.05, degrees=4.0, shift_mm=3.0,
    )  # fmt: skip
    fewest_calibration: ClassVar[int] = 2  # pairs, and a spread, are of two or more
    next_command: ClassVar[str] = "hagan-clinic sample {run} -o samples"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.window)
        if self.size is None:
            raise InputError("size is missing: a latent space needs one, e.g. --size 128")
        self.sizes()

    @abstractmethod
    def sizes(self) -> SynthesisSizes:
        """The networks' sizes.

        Raises:
            InputError: they do not fit together.
        """

    @property
    def recipe(self) -> Recipe:
        """Without a target."""
        sizes = self.sizes()
        return Recipe(
            sources=(self.image,),
            target="",
            spacing=(self.spacing,) * 3,
            multiple=sizes.multiple,
            halo=sizes.halo,
            interval_factor=0.0,
            window=self.window,
        )


def presets(*, cpu: Mapping[str, Any], tiny: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The presets, of which widths and rates are the model's own."""
    return {
        "default": {},
        "cpu": {
            "size": (64, 64, 64),
            "spacing": 3.0,
            "steps": 1600,
            "latent": 32,
            "validate_every": 200,
            "checkpoint_every": 100,
            "augment": {"scale": 0.02, "degrees": 2.0, "shift_mm": 1.5},
            **cpu,
        },
        "gpu": {"precision": "bf16-mixed", "workers": 8},
        "tiny": {
            "size": (32, 32, 32),
            "spacing": 6.0,
            "steps": 8,
            "batch_size": 2,
            "latent": 8,
            "validate_every": 4,
            "checkpoint_every": 4,
            **tiny,
        },
    }


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

NEED_END_TO_END = (
    *("context", "components"),
    *("adversarial_start", "weight_adversarial", "weight_structure", "weight_coarse"),
)


@dataclass(frozen=True)
class UnconditionalConfig(SynthesisConfig):
    """Settings of ``--mode unconditional``; the defaults are the paper's where it has one.

    Attributes:
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
        levels: of slabs, each four times finer than the one before it; 1 is the paper's.
        attention: G^A attends to its whole coarsest grid (``backbone.attention``).
        region: label or saliency maps of where reconstruction matters more: ``seg``, each subject's
            own label map, or a file for all; empty for none.
        weight_region: how much more than elsewhere an error within the region counts.
        measurements: columns of the cohort's CSV that z is to tell of (``measurements``).
        weight_measurements: of how surprising these are given z, in E^G's loss.
        weight_overlap: of how far their directions are from orthogonal, beside it.
        batch_deviation: the discriminators see how unlike the images of a batch are
            (``backbone.deviation``).
        diffaugment: augment what the discriminators see (``backbone.diffaugment``).
        diffaugment_shift: largest translation of it, as a part of each in-plane side.
        context: channels of the features A; 0 for the paper's, an eighth of ``width``.
        components: start from the mean and the principal components of the training volumes, which
            G and E then hold and add to (``unconditional.components``).
        refinements: see ``unconditional.HAGANConfig``.
        component_draws: augmented volumes that these are fitted to.
        end_to_end: train G, E^H and E^G at once by what they bring back together, instead of in
            turn.
        adversarial_start: share of the steps before the discriminators join; end to end alone.
        weight_adversarial: of the adversarial loss in G; end to end alone.
        reconstruction: ``l1``, the paper's, or ``huber``, which squares errors.
        weight_structure: of 1 - SSIM in the brain of what is brought back; end to end alone.
        weight_coarse: of squared errors at a quarter of the resolution: of reconstructions to the
            scan, of samples to the linear model's image; needs ``components``.
        discriminator: ``slab``, the paper's D^H, or ``patches`` (``patch_discriminator``), which
            needs ``components``.
        weight_features: of the discriminator of patches' feature-matching loss.
        r1: weight of the gradient penalty on real images.
        discriminator_optimizer: ``adam``, the paper's, or ``muon``, as of ``optimizer``.
        choose_by: what the best checkpoint is best in: ``mmd`` of the samples, ``reconstruction``
            of the calibration patients, or ``last``: none, it is the newest.
        gradient_checkpointing: recompute norms and activations in the backward pass: a little
            slower, smaller.
    """

    slab: int = 0
    discriminator_lr: float = 4e-4
    latent: int = HAGANConfig.latent
    width: int = HAGANConfig.width
    discriminator_width: int = HAGANConfig.discriminator_width
    norm: str = HAGANConfig.norm
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
    levels: int = HAGANConfig.levels
    attention: bool = HAGANConfig.attention
    region: str = ""
    weight_region: float = 4.0
    measurements: tuple[str, ...] = ()
    weight_measurements: float = 1.0
    weight_overlap: float = 0.0
    batch_deviation: bool = False
    diffaugment: bool = True
    diffaugment_shift: float = 0.0
    context: int = 0
    components: bool = False
    component_draws: int = 1024
    refinements: int = HAGANConfig.refinements
    end_to_end: bool = False
    adversarial_start: float = 0.0
    weight_adversarial: float = 1.0
    reconstruction: str = "l1"
    weight_structure: float = 0.0
    weight_coarse: float = 0.0
    discriminator: str = "slab"
    weight_features: float = 0.0
    r1: float = 0.0
    discriminator_optimizer: str = "adam"
    choose_by: str = "mmd"
    gradient_checkpointing: bool = False

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = presets(
        cpu={
            "slab": 8,
            "width": 128,
            "discriminator_width": 256,
            "encoder_loss_to_generator": True,
            "weight_reconstruction": 20.0,
            "weight_prior": 4.0,
            "diffaugment": False,
            "optimizer": "muon",
            "generator_lr": 3e-3,
            "ema": 0.99,
        },
        tiny={"slab": 4, "width": 64, "discriminator_width": 64},
    )
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = VARIANTS

    def __post_init__(self) -> None:
        if self.slab == 0 and self.size is not None:
            object.__setattr__(self, "slab", default_slab(self.size[0]))
        super().__post_init__()
        check_choice(self, "variant", tuple(VARIANTS))
        check_choice(self, "norm", ("position", "group"))
        check_choice(self, "optimizer", ("adam", "muon"))
        check_choice(self, "discriminator_optimizer", ("adam", "muon"))
        check_choice(self, "reconstruction", ("l1", "huber"))
        check_choice(self, "discriminator", ("slab", "patches"))
        check_choice(self, "choose_by", ("mmd", "reconstruction", "last"))
        weights = (
            *("reconstruction", "prior", "class", "adversarial", "structure"),
            *("region", "measurements", "overlap", "coarse", "features"),
        )
        check_range(self, [f"weight_{name}" for name in weights], zero=True)
        check_range(self, ("r1", "component_draws"), zero=True)
        check_range(self, ("diffaugment_shift", "adversarial_start"), zero=True, highest=1)
        if bool(self.label) != bool(self.classes):
            raise InputError(
                f"label is {self.label!r} and classes are {list(self.classes)}: give both, the "
                "column of the cohort's CSV and the values that it holds, or neither"
            )
        needing = ("encoder_loss_to_generator", "weight_prior", "end_to_end")
        for name in (*needing, "region", "measurements"):
            if getattr(self, name) and not self.encoder:
                raise InputError(f"{name} needs the encoder: leave --no-encoder out")
        stated = {field.name: field.default for field in fields(UnconditionalConfig)}
        for name in NEED_END_TO_END:
            if getattr(self, name) != stated[name] and not self.end_to_end:
                raise InputError(f"{name} needs end_to_end: give --set end_to_end=true")
        if self.weight_prior and self.refinements:
            raise InputError(
                f"weight_prior is {self.weight_prior:g} with refinements: expected 0, as E stays "
                "the linear model, whose z are N(0, I)"
            )
        if self.weight_coarse and not self.components:
            raise InputError("weight_coarse needs components: give --set components=true")
        self._check_patches()
        if self.choose_by == "reconstruction" and not self.encoder:
            raise InputError("choose_by reconstruction needs the encoder: leave --no-encoder out")
        for name in ("weight_prior", "batch_deviation"):
            if getattr(self, name) and self.batch_size < 2:
                raise InputError(
                    f"{name} compares the volumes of a batch, and --batch-size is "
                    f"{self.batch_size}: expected 2 or more"
                )
        if self.weight_overlap and len(self.measurements) < 2:
            raise InputError(
                "weight_overlap compares the directions of measurements, of which there are "
                f"{len(self.measurements)}: expected 2 or more"
            )

    def _check_patches(self) -> None:
        if self.discriminator == "slab":
            if self.weight_features:
                raise InputError("weight_features needs --set discriminator=patches")
            return
        if not self.components:
            raise InputError("discriminator patches needs components: give --set components=true")
        if self.variant != "paper" or self.adversarial_start == 1:
            raise InputError("discriminator patches: no variant released, no adversarial_start 1")
        off = {"low_res_branch": False, "diffaugment": False, "batch_deviation": False, "r1": 0}
        if given := [f"--set {name}={off[name]}" for name in off if getattr(self, name)]:
            raise InputError(f"discriminator patches needs {' '.join(given).lower()}")
        if self.classes:
            raise InputError("discriminator patches tells no classes: leave label out")

    def sizes(self) -> HAGANConfig:
        """The networks' sizes.

        Raises:
            InputError: they do not fit together.
        """
        names = [field.name for field in fields(HAGANConfig) if hasattr(self, field.name)]
        shared = {name: getattr(self, name) for name in names}
        return HAGANConfig(**shared | {"classes": len(self.classes)})

    @property
    def sampling(self) -> dict[str, Any]:
        """How ``data.queue.slab_loader`` cuts slabs."""
        return {"halo": 0, "in_turn": self.deterministic_r, "whole": self.encoder}

    @property
    def start_volumes(self) -> int:
        """Augmented volumes that the model is started from."""
        return self.component_draws if self.components else 0

    def labels(self, subjects: Sequence[Subject]) -> list[int] | None:
        """The number of every subject's class.

        Raises:
            InputError: a subject without a label, or with one that is not among the classes.
        """
        column, classes = self.label, self.classes
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


def default_slab(depth: int) -> int:
    """An eighth of the depth, as in the paper, or less where that divides it: a multiple of 4."""
    fitting = [slab for slab in range(4, max(4, depth // 8) + 1, 4) if depth % slab == 0]
    return fitting[-1] if fitting else 4
