"""Conditional HA-GAN: one sequence of a volume in, another out, slab by slab."""

from hagan_clinic.conditional.generator import SIDE_MULTIPLE, ConditionalGenerator, GeneratorConfig
from hagan_clinic.conditional.hagan import ConditionalHAGAN, LossWeights

__all__ = [
    "SIDE_MULTIPLE",
    "ConditionalGenerator",
    "ConditionalHAGAN",
    "GeneratorConfig",
    "LossWeights",
]
