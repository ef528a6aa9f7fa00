"""Unconditional HA-GAN: volumes from noise, and back."""

from hagan_clinic.unconditional.encoder import VolumeEncoder
from hagan_clinic.unconditional.generator import HAGANConfig, UnconditionalGenerator
from hagan_clinic.unconditional.model import HAGAN, Autoencoder
from hagan_clinic.unconditional.objective import Objective

__all__ = [
    "HAGAN",
    "Autoencoder",
    "HAGANConfig",
    "Objective",
    "UnconditionalGenerator",
    "VolumeEncoder",
]
