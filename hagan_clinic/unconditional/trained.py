"""A trained generator and encoder in torch, with numpy at both ends, a slab at a time."""

import numpy as np
import torch
from numpy.typing import NDArray

from hagan_clinic.unconditional.encoder import VolumeEncoder
from hagan_clinic.unconditional.generator import UnconditionalGenerator

Float32 = NDArray[np.float32]


class TorchGenerator:
    """G: with norm ``position`` G^H makes one slab after the other, else the whole volume.

    Args:
        generator: trained.
        device: where it computes.
    """

    def __init__(self, generator: UnconditionalGenerator, device: torch.device) -> None:
        self._generator = generator.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def image(self, latent: Float32) -> Float32:
        """From z with its one-hot label (1, latent + classes) a volume (D, H, W) in [-1, 1]."""
        generator, config = self._generator, self._generator.config
        context = generator.context(torch.from_numpy(latent).to(self._device))
        image = np.empty(config.size, np.float32)
        thickness = config.slab if config.halo else config.size[0]
        for start in range(0, config.size[0], thickness):
            part = generator.slabs(context, torch.tensor([start]), thickness)
            image[start : start + thickness] = part[0, 0].float().cpu().numpy()
        return image


class TorchEncoder:
    """E: E^H on one slab after the other, then E^G on all of them.

    Args:
        encoder: trained.
        device: where it computes.
    """

    def __init__(self, encoder: VolumeEncoder, device: torch.device) -> None:
        self._encoder = encoder.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def latent(self, volume: Float32) -> Float32:
        """From a volume (D, H, W) in [-1, 1] its z (latent,)."""
        latent = self._encoder.encode(torch.from_numpy(volume)[None, None].to(self._device))
        z: Float32 = latent[0].float().cpu().numpy()
        return z
