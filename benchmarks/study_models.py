"""What the study trains: the models of each mode, and the settings that they share.

Widths are a half to a quarter of each paper's, on every side alike, so that hundreds of steps fit
into minutes of one core. A step of translation has the same number of voxels for each model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Entry:
    """A model of the study.

    Attributes:
        name: Of its row and run folder.
        settings: What it is told beside the shared settings.
        in_each_fold: Otherwise it is trained in the first fold alone.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_each_fold: bool = True


@dataclass(frozen=True, eq=False)
class Study:
    """Models that are trained for the same time.

    Attributes:
        shared: Settings of all.
        entries: HA-GAN first.
        crossed: Whether each fold is trained on; otherwise the first alone.
    """

    shared: Mapping[str, Any]
    entries: Sequence[Entry]
    crossed: bool


BRAINS = {"stripped": 1.0}
"""One of the two cohorts has no skulls, so that all volumes are shown without."""

HAGAN = {
    "slab": 16, "halo": 4, "half_width": 24, "quarter_width": 64, "high_blocks": 1,
    "optimizer": "muon", "adversarial_start": 0.9, "weight_adversarial": 0.003,
    "weight_high": 4.0, "weight_low": 4.0, "weight_structure": 0.3, "weight_background": 0.05,
    "weight_likelihood": 0.2,
}  # fmt: skip
"""The defaults of ``--mode conditional``, written out, with a halo for slabs at 3 mm."""

SLABS = {"model": "slab-unet", "slab": 16, "halo": 4, "width": 32, "discriminator_width": 128}
SLICES = {"model": "cgan2d", "slab": 16, "levels": 5, "width": 32}
PATCHES = {"model": "cgan3d-patch", "patch": 32, "levels": 5, "width": 24, "batch_size": 4}

RECIPE = {"variant": "tuned", "ema": 0.99}
"""Of every baseline: the losses, the optimiser and the schedule of HA-GAN."""

TRANSLATION = Study(
    shared={
        "mode": "conditional", "spacing": 3.0, "size": [64, 64, 64], "batch_size": 2,
        "augment": BRAINS,
    },
    entries=[
        Entry("hagan", HAGAN | {"ema": 0.99}),
        Entry("hagan-slabs-alone", HAGAN | {"ema": 0.99, "low_res_branch": False}),
        Entry("slab-unet", SLABS | RECIPE),
        Entry("cgan2d", SLICES | RECIPE),
        Entry("cgan3d-patch", PATCHES | RECIPE),
        Entry("slab-unet-paper", SLABS, in_each_fold=False),
        Entry("cgan3d-patch-paper", PATCHES, in_each_fold=False),
    ],
    crossed=True,
)  # fmt: skip

LINEAR = {
    "width": 128, "context": 64, "discriminator_width": 128, "components": True,
    "component_draws": 512, "end_to_end": True, "adversarial_start": 1.0,
    "reconstruction": "huber", "weight_reconstruction": 20.0, "optimizer": "muon",
    "generator_lr": 2e-3, "ema": 0.98, "choose_by": "last",
}  # fmt: skip
"""The start of the bundled brains, from a linear model: no discriminator takes part."""

WHOLE = {"width": 16}
MUON = {"optimizer": "muon", "generator_lr": 2e-3, "ema": 0.98}
"""As HA-GAN's, of baselines with an encoder; critics alone are trained as in their papers."""

SYNTHESIS = Study(
    shared={
        "mode": "unconditional", "spacing": 6.0, "size": [32, 32, 32], "latent": 64,
        "batch_size": 4,
    },
    entries=[
        Entry("hagan", LINEAR),
        Entry("vae-gan", WHOLE | MUON | {"model": "vae-gan"}),
        Entry("alpha-gan", WHOLE | MUON | {"model": "alpha-gan"}),
        Entry("hagan-paper", {"width": 128, "discriminator_width": 128}),
        Entry("vae-gan-paper", WHOLE | {"model": "vae-gan"}),
        Entry("wgan-gp-paper", WHOLE | {"model": "wgan-gp"}),
    ],
    crossed=False,
)  # fmt: skip

STUDIES = {"translation": TRANSLATION, "synthesis": SYNTHESIS}
