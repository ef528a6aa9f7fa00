"""Conditional HA-GAN: one sequence of a volume in, another out, slab by slab; and its baselines."""

from hagan_clinic.conditional.generator import SIDE_MULTIPLE, ConditionalGenerator, GeneratorConfig
from hagan_clinic.conditional.hagan import ConditionalHAGAN
from hagan_clinic.conditional.settings import ConditionalConfig

__all__ = [
    "SIDE_MULTIPLE",
    "ConditionalConfig",
    "ConditionalGenerator",
    "ConditionalHAGAN",
    "GeneratorConfig",
]
