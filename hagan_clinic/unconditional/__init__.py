"""Unconditional HA-GAN: volumes from noise, and back; and its baselines."""

from hagan_clinic.unconditional.encoder import Autoencoder, VolumeEncoder
from hagan_clinic.unconditional.generator import UnconditionalGenerator
from hagan_clinic.unconditional.hagan import HAGAN
from hagan_clinic.unconditional.settings import UnconditionalConfig
from hagan_clinic.unconditional.sizes import HAGANConfig

__all__ = [
    "HAGAN",
    "Autoencoder",
    "HAGANConfig",
    "UnconditionalConfig",
    "UnconditionalGenerator",
    "VolumeEncoder",
]
