"""The unconditional model that a run folder holds, with what it takes to use or export it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hagan_clinic.errors import ModelError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.augment import AugmentConfig
from hagan_clinic.training.config import typed
from hagan_clinic.training.initial import identity, load_averaged
from hagan_clinic.training.run import read_config
from hagan_clinic.training.unconditional import UnconditionalConfig, UnconditionalRun
from hagan_clinic.unconditional import Autoencoder


@dataclass(frozen=True, eq=False)
class TrainedAutoencoder:
    """Generator and encoder of a run's best checkpoint, averaged.

    Attributes:
        config: The run's settings.
        autoencoder: Its weights, in evaluation mode.
        recipe: How scans become volumes, with the training box.
        state: Of the checkpoint.
        weights_sha256: Of the file with the weights.
        skull_stripped: Whether it was trained on what lies inside the brain mask alone.
    """

    config: UnconditionalConfig
    autoencoder: Autoencoder
    recipe: Recipe
    state: dict[str, Any]
    weights_sha256: str
    skull_stripped: bool


def load_autoencoder(run: Path, *, encoder: bool = False) -> TrainedAutoencoder:
    """Load the averaged weights of an unconditional run.

    Args:
        run: The run folder.
        encoder: Whether the encoder is wanted.

    Raises:
        ModelError: The run cannot be read, is conditional, or lacks the encoder that is wanted.
    """
    config = read_config(run)
    if not isinstance(config, UnconditionalConfig):
        raise ModelError(f"{run} was trained with --mode {config.mode}: expected unconditional")
    if encoder and not config.encoder:
        raise ModelError(
            f"{run} was trained with --no-encoder: expected a run with an encoder; train one "
            "without this option"
        )
    described = UnconditionalRun.of(config)
    autoencoder = Autoencoder(config.sizes())
    state = load_averaged(autoencoder, run)
    augment = replace(described.augment, **typed(AugmentConfig, config.augment, "augment"))
    return TrainedAutoencoder(
        config=config,
        autoencoder=autoencoder.eval(),
        recipe=replace(described.recipe, box=config.sizes().size),
        state=state,
        weights_sha256=identity(run)["sha256"],
        skull_stripped=augment.stripped > 0,
    )
