"""The unconditional model that a run folder holds, with what it takes to use or export it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hagan_clinic.backbone.synthesising import AutoencodingNetwork
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.errors import ModelError
from hagan_clinic.runtime.synthesis import Facts
from hagan_clinic.training.baselines.volumes import VolumeConfig
from hagan_clinic.training.config import typed
from hagan_clinic.training.initial import identity, load_averaged
from hagan_clinic.training.modes import mode_of, read_config
from hagan_clinic.training.run_folder import read_facts
from hagan_clinic.training.unconditional import UnconditionalConfig


@dataclass(frozen=True, eq=False)
class TrainedAutoencoder:
    """Generator and encoder of a run's best checkpoint, averaged.

    Attributes:
        config: The run's settings.
        autoencoder: Its weights, in evaluation mode.
        facts: What there is to know to use them.
        state: Of the checkpoint.
    """

    config: UnconditionalConfig | VolumeConfig
    autoencoder: AutoencodingNetwork
    facts: Facts
    state: dict[str, Any]


def load_autoencoder(run: Path, *, encoder: bool = False) -> TrainedAutoencoder:
    """Load the averaged weights of an unconditional run.

    Args:
        run: The run folder.
        encoder: Whether the encoder is wanted.

    Raises:
        ModelError: The run cannot be read, is conditional, or lacks the encoder that is wanted.
    """
    config = read_config(run)
    if not isinstance(config, UnconditionalConfig | VolumeConfig):
        raise ModelError(f"{run} was trained with --mode {config.mode}: expected unconditional")
    if encoder and isinstance(config, VolumeConfig) and not config.encoder:
        raise ModelError(
            f"{run} was trained with --model {config.model}, which has no encoder: expected a run "
            "of hagan, vae-gan or alpha-gan"
        )
    if encoder and not config.encoder:
        raise ModelError(
            f"{run} was trained with --no-encoder: expected a run with an encoder; train one "
            "without this option"
        )
    described = mode_of(config)
    autoencoder = described.model().averaged
    assert isinstance(autoencoder, AutoencodingNetwork)
    state = load_averaged(autoencoder, run)
    augment = replace(described.augment, **typed(AugmentConfig, config.augment, "augment"))
    facts = Facts(
        name=run.resolve().name,
        identity=identity(run)["sha256"],
        recipe=replace(described.recipe, box=config.sizes().size),
        latent=config.latent,
        classes=config.classes,
        label=config.label,
        stripped=bool(read_facts(run).get("skull_stripped", augment.stripped > 0)),
    )
    return TrainedAutoencoder(config, autoencoder.eval(), facts, state)
