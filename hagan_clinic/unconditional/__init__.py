"""Unconditional HA-GAN: volumes from noise, and back."""

from hagan_clinic.unconditional.encoder import VolumeEncoder
from hagan_clinic.unconditional.generator import HAGANConfig, UnconditionalGenerator
from hagan_clinic.unconditional.hagan import HAGAN, Autoencoder, Objective

__all__ = [
    "HAGAN",
    "Autoencoder",
    "HAGANConfig",
    "Objective",
    "UnconditionalGenerator",
    "VolumeEncoder",
]
