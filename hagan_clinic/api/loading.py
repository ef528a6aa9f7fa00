"""A trained generator as a torch module, from its run folder or its model file."""

import os
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.backbone.synthesising import EncodingNetwork, GeneratingNetwork
from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional import ConditionalGenerator
from hagan_clinic.conditional.trained import load_translator
from hagan_clinic.errors import ModelError
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime import find_model, load_model
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.initial import load_first_weights
from hagan_clinic.training.registry import build_model, config_from_dict, read_config
from hagan_clinic.unconditional.trained import load_autoencoder


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model, on the CPU and in evaluation mode.

    Attributes:
        generator: The torch module. One that translates takes sources (B, C, D, H, W) and gives
            target and scale first; one that synthesises takes z (B, latent + classes) and gives
            the volume first.
        encoder: Its `encode` takes volumes (B, 1, D, H, W) to z; None where there is none.
        recipe: How scans become what the modules take: `hagan_clinic.preparation.prepare`
            follows it.
        config: The settings of the training.
    """

    generator: TranslatingNetwork | GeneratingNetwork
    encoder: EncodingNetwork | None
    recipe: Recipe
    config: TrainingConfig


def load(model: str | os.PathLike[str]) -> Trained:
    """Load the averaged weights of a run's best checkpoint, or those of a model file.

    Args:
        model: A run folder, the `.onnx` file of a model that translates, or a bundled model's
            name. A file has no G^L, so `low_resolution` of its generator is untrained; one whose
            weights are stored in fp16 gives the same within their rounding.

    Raises:
        ModelError: Nothing usable is there.

    Example:
        >>> import torch, hagan_clinic
        >>> trained = hagan_clinic.load("t1_to_flair")
        >>> trained.recipe.sources, trained.recipe.target
        (('t1',), 'flair')
        >>> with torch.inference_mode():
        ...     target, scale, context = trained.generator(torch.full((1, 1, 32, 32, 32), -1.0))
        >>> tuple(target.shape)
        (1, 1, 32, 32, 32)
    """
    path = Path(model)
    if not path.is_dir():
        return _of_file(os.fspath(model))
    if read_config(path).mode == "conditional":
        translator = load_translator(path)
        return Trained(translator.generator, None, translator.recipe, translator.config)
    trained = load_autoencoder(path)
    networks, config = trained.autoencoder, trained.config
    encoder = networks.encoder if config.encoder else None
    return Trained(networks.generator, encoder, trained.facts.recipe, config)


def _of_file(model: str) -> Trained:
    path = find_model(model)
    file = load_model(path)
    config = config_from_dict(dict(file.training.get("config", {})), f"{path}: its training")
    generator = build_model(config).averaged
    assert isinstance(generator, TranslatingNetwork)
    if isinstance(generator, ConditionalGenerator) and not file.recipe.box_grows:
        raise ModelError(
            f"{path} is of an earlier revision of the network, which PyTorch would run as another: "
            "translate with it, or load a model that this version has exported"
        )
    load_first_weights(generator, path)
    return Trained(generator.eval(), None, file.recipe, config)
