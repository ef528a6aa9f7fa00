"""A trained generator and encoder in torch, with numpy at both ends, a slab at a time."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hagan_clinic.backbone.memory import memory_explained
from hagan_clinic.backbone.synthesising import (
    AutoencodingNetwork,
    EncodingNetwork,
    GeneratingNetwork,
)
from hagan_clinic.errors import ModelError
from hagan_clinic.runtime.synthesis import Facts
from hagan_clinic.training.initial import identity, load_averaged
from hagan_clinic.training.registry import build_model, read_config
from hagan_clinic.training.run_folder import read_facts
from hagan_clinic.unconditional.settings import UnconditionalConfig
from hagan_clinic.unconditional.volume_gan import VolumeConfig

Float32 = NDArray[np.float32]


class TorchGenerator:
    """G: where there is a halo G^H makes one slab after the other, else the whole volume.

    Args:
        generator: trained.
        device: where it computes.

    Raises:
        DeviceError: memory did not suffice for its weights.
    """

    def __init__(self, generator: GeneratingNetwork, device: torch.device) -> None:
        with memory_explained(_no_memory(device)):
            self._generator = generator.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def image(self, latent: Float32) -> Float32:
        """From z with its one-hot label (1, latent + classes) a volume (D, H, W) in [-1, 1].

        Raises:
            DeviceError: memory did not suffice.
            ModelError: a value is not finite.
        """
        generator, config = self._generator, self._generator.config
        with memory_explained(_no_memory(self._device)):
            context = generator.context(torch.from_numpy(latent).to(self._device))
            image = np.empty(config.size, np.float32)
            thickness = config.slab if config.halo else config.size[0]
            for start in range(0, config.size[0], thickness):
                part = generator.slabs(context, torch.tensor([start]), thickness)
                image[start : start + thickness] = part[0, 0].float().cpu().numpy()
        return _finite(image, "generator")


class TorchEncoder:
    """E: E^H on one slab after the other, then E^G on all of them.

    Args:
        encoder: trained.
        device: where it computes.

    Raises:
        DeviceError: memory did not suffice for its weights.
    """

    def __init__(self, encoder: EncodingNetwork, device: torch.device) -> None:
        with memory_explained(_no_memory(device)):
            self._encoder = encoder.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def latent(self, volume: Float32) -> Float32:
        """From a volume (D, H, W) in [-1, 1] its z (latent,); errors as of `TorchGenerator`."""
        with memory_explained(_no_memory(self._device)):
            latent = self._encoder.encode(torch.from_numpy(volume)[None, None].to(self._device))
            return _finite(latent[0].float().cpu().numpy(), "encoder")


def _no_memory(device: torch.device) -> str:
    elsewhere = "" if device.type == "cpu" else ", or give --device cpu"
    return f"memory ran out in the network on {device}; free some{elsewhere}"


def _finite(values: Float32, part: str) -> Float32:
    """The values, unless one of them is not finite."""
    if not np.isfinite(values).all():
        raise ModelError(
            f"the {part} gave NaN or infinite values, expected finite ones: its weights are damaged"
        )
    return values


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
    autoencoder = build_model(config).averaged
    assert isinstance(autoencoder, AutoencodingNetwork)
    state = load_averaged(autoencoder, run)
    facts = Facts(
        name=run.resolve().name,
        identity=identity(run)["sha256"],
        recipe=replace(config.recipe, box=config.sizes().size),
        latent=config.latent,
        classes=config.classes,
        label=config.label,
        stripped=bool(read_facts(run).get("skull_stripped", config.augmentation.stripped > 0)),
    )
    return TrainedAutoencoder(config, autoencoder.eval(), facts, state)
