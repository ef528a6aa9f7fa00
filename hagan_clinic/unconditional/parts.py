"""The parts of an unconditional HA-GAN as training runs them, for `summary`."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn

from hagan_clinic.backbone.discriminator import LowResolutionDiscriminator, SlabDiscriminator
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab, take_slabs
from hagan_clinic.unconditional.encoder import Autoencoder
from hagan_clinic.unconditional.generator import MiddleLevel
from hagan_clinic.unconditional.levels import MIDDLE_HALO
from hagan_clinic.unconditional.patch_discriminator import PatchDiscriminator, PatchOutput


def parts_of(
    autoencoder: Autoencoder,
    slab_discriminators: Sequence[nn.Module],
    low_discriminator: LowResolutionDiscriminator | None,
    *,
    encoder: bool,
) -> Iterator[Part]:
    """Every part, in the order of the paper's figure; G^1, D^1 and so on are of middle levels.

    Args:
        autoencoder: G and E.
        slab_discriminators: of level 1 to the last, which is D^H.
        low_discriminator: D^L; None without the low-resolution branch.
        encoder: whether E is trained.
    """
    config, generator = autoencoder.config, autoencoder.generator
    # (D, H, W) of level 0, which is A's, to the last, which is the volume's.
    sizes = [
        tuple(side // LOW_RES_FACTOR ** (config.levels - level) for side in config.size)
        for level in range(config.levels + 1)
    ]
    channels, last = config.context_channels, config.levels
    context = given = (config.held_channels, *sizes[0])

    yield Part("G^A", generator.trunk, ((config.latent + config.classes,),), generator.context)
    if low_discriminator is not None:
        yield Part("G^L", generator.low, (context,), generator.low)
    for number, module in enumerate(generator.middle, start=1):
        level = cast(MiddleLevel, module)
        window = Slab(0, config.slab).window(sizes[number][0], MIDDLE_HALO).thickness
        seen = (channels, window // LOW_RES_FACTOR, *given[2:])
        yield Part(f"G^{number}", level, (seen,), level.with_image)
        given = (channels, window, *sizes[number][1:])

    def high(features: Tensor) -> Tensor:
        window = Slab(0, config.slab).window(config.size[0], config.training_halo).thickness
        image: Tensor = generator.high(
            take_slabs(features, [0] * len(features), window // LOW_RES_FACTOR)
        )
        return image

    yield Part("G^H", generator.high, (given,), high)
    for number, discriminator in enumerate(slab_discriminators, start=1):
        slab = (1, config.slab, *sizes[number][1:])
        symbol = "D^H" if number == last else f"D^{number}"
        if isinstance(discriminator, PatchDiscriminator):
            yield Part(symbol, discriminator, (slab,), partial(_logits_of_places, discriminator))
        else:
            judge = cast(SlabDiscriminator, discriminator)
            yield Part(symbol, judge, (slab, ()), judge.logits)
    if low_discriminator is not None:
        yield Part("D^L", low_discriminator, ((1, *sizes[0]),), low_discriminator.logits)
    if encoder:
        for times, part in enumerate(autoencoder.encoder.encoders):
            slab = (config.width // 8 if times else 1, config.slab, *sizes[last - times][1:])
            yield Part(f"E^{last - times}" if times else "E^H", part, (slab,), part)
        features = (config.encoded_channels, *sizes[0])
        latent = autoencoder.encoder.latent
        yield Part("E^G", latent, (features,), latent)


def _logits_of_places(discriminator: PatchDiscriminator, slab: Tensor) -> Tensor:
    found: PatchOutput = discriminator(slab)
    return found.logits[-1]
