"""Conditional HA-GAN for training: the generator, two discriminators, and one training step.

The losses are those of Sun et al. 2022, made conditional. L_GAN^H (eq. 4) and L_GAN^L (eq. 5)
score pairs of source and target: slabs X_r^H with their position r, and whole X^L. The paper
reconstructs what its encoders are shown (L_recon^H and L_recon^G, eq. 6 and 7) and trains the
encoders by it; here the target is known, so that the same two terms, on X_r^H and on X^L, train
the whole generator and lead. The slab has two further terms, its structure and the likelihood of
its error bar. Eq. 8 is their sum, with weights for lambda_1 and lambda_2.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.batch import TranslationBatch
from hagan_clinic.backbone.discriminator import LowResolutionDiscriminator, SlabDiscriminator
from hagan_clinic.backbone.losses import (
    fake_loss,
    laplace_nll,
    real_loss,
    reconstruction_loss,
    region_weights,
    structure_loss,
)
from hagan_clinic.backbone.optimisation import ParameterGroup, Update
from hagan_clinic.backbone.parts import Part
from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab, take_slabs
from hagan_clinic.backbone.translating import SlabTranslatingNetwork
from hagan_clinic.conditional.generator import SIDE_MULTIPLE, ConditionalGenerator
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.conditional.validation import TranslationModel
from hagan_clinic.errors import InputError


class ConditionalHAGAN(TranslationModel):
    """Generator (G^A, G^L, G^H, E^H) and discriminators (D^H, D^L) on (source, target) pairs.

    Args:
        settings: of the networks, losses and rates; those of data and training have no effect.
        generator: instead of a ``ConditionalGenerator`` of those sizes.
    """

    settings_class = ConditionalConfig

    def __init__(
        self,
        settings: ConditionalConfig | None = None,
        *,
        generator: SlabTranslatingNetwork | None = None,
    ) -> None:
        super().__init__()
        settings = settings or ConditionalConfig()
        self.settings: ConditionalConfig = settings
        self.generator: SlabTranslatingNetwork = (
            ConditionalGenerator(settings.sizes()) if generator is None else generator
        )
        pair = len(settings.source) + 1
        self.slab_discriminator = SlabDiscriminator(pair)
        self.low_discriminator = (
            LowResolutionDiscriminator(pair) if settings.low_res_branch else None
        )

    @property
    def averaged(self) -> nn.Module:
        """The generator: its moving average is validated and exported."""
        return self.generator

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""
        discriminators = list(self.slab_discriminator.parameters())
        if self.low_discriminator is not None:
            discriminators += self.low_discriminator.parameters()
        return {
            "generator": self.settings.generator_group(self.generator),
            "discriminator": ParameterGroup(
                discriminators, self.settings.discriminator_lr, betas=(0.0, 0.999)
            ),
        }

    def context(self, source: Tensor) -> Tensor | None:
        """What slabs need of the whole source (B, C, D, H, W); None without that branch."""
        self._check(source)
        return self.generator.context(functional.avg_pool3d(source, LOW_RES_FACTOR))

    def slabs(
        self, source: Tensor, context: Tensor | None, starts: Tensor | Sequence[int], thickness: int
    ) -> tuple[Tensor, Tensor]:
        """One slab a sample, with as many real slices beside it as its result depends on.

        Args:
            source: the whole volume (B, C, D, H, W), of which the windows are taken.
            context: of ``context``.
            starts: r (B,), multiples of 4.
            thickness: slices of a slab, a multiple of 4.

        Returns:
            Target and scale (B, 1, thickness, H, W), equal to those of the whole within 1e-4.

        Raises:
            InputError: a source of another shape than the network takes.
        """
        self._check(source)
        slabs = [Slab(int(start), thickness) for start in starts]
        windows = [slab.window(source.shape[2], self.generator.halo) for slab in slabs]
        first, seen = [window.start for window in windows], windows[0].thickness
        low = None
        if context is not None:
            low_first = [start // LOW_RES_FACTOR for start in first]
            low = take_slabs(context, low_first, seen // LOW_RES_FACTOR)
        target, scale = self.generator.translate(take_slabs(source, first, seen), low)
        offsets = [slab.start - start for slab, start in zip(slabs, first, strict=True)]
        return take_slabs(target, offsets, thickness), take_slabs(scale, offsets, thickness)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Translate whole volumes.

        Args:
            source: (B, C, D, H, W) in [-1, 1], background -1; sides multiples of 16.

        Returns:
            The target in [-1, 1] and the Laplace scale of its error, (B, 1, D, H, W) each.

        Raises:
            InputError: a source of another shape than the network takes.

        Example:
            >>> import torch
            >>> from hagan_clinic.conditional import ConditionalConfig, ConditionalHAGAN
            >>> model = ConditionalHAGAN(ConditionalConfig(half_width=8, quarter_width=16))
            >>> target, scale = model(torch.rand(1, 1, 32, 48, 32) * 2 - 1)
            >>> tuple(target.shape), bool((scale > 0).all())
            ((1, 1, 32, 48, 32), True)
        """
        self._check(source)
        target, scale, *_ = self.generator(source)
        return target, scale

    def _check(self, source: Tensor) -> None:
        channels, shape = len(self.settings.source), tuple(source.shape)
        if len(shape) != 5 or shape[1] != channels or any(n % SIDE_MULTIPLE for n in shape[2:]):
            raise InputError(
                f"the source has the shape {shape}; expected (B, {channels}, D, H, W) with D, H "
                f"and W multiples of {SIDE_MULTIPLE}"
            )

    def training_step(
        self, batch: TranslationBatch | Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """Update the discriminators (eq. 4 and 5), then the generator by the whole sum (eq. 8).

        Args:
            batch: a ``TranslationBatch``, or a mapping of its entries.
            step: number of the step, which decides whether the discriminators take part.
            update: called with a group's name and loss, for the discriminators first.

        Returns:
            The loss terms before weighing, scalars.

        Raises:
            InputError: an entry of the batch is missing or has another shape.
        """
        batch = TranslationBatch.of(batch)
        settings = self.settings
        window, target = batch.source_window, batch.target_slab
        thickness = target.shape[2]
        offsets = batch.slab_start - batch.window_start

        context = self.generator.context(batch.source_low)
        context_window = None
        if context is not None:
            context_window = take_slabs(
                context,
                batch.window_start // LOW_RES_FACTOR,
                window.shape[2] // LOW_RES_FACTOR,
            )
        image, scale = self.generator.translate(window, context_window)
        image, scale = take_slabs(image, offsets, thickness), take_slabs(scale, offsets, thickness)

        background = settings.weight_background
        region = region_weights(batch.brain_slab, background)
        terms = {
            "high": reconstruction_loss(image, target, region),
            "structure": structure_loss(image, target, batch.brain_slab),
            "likelihood": laplace_nll(scale, image - target, region),
        }
        low = None
        if context is not None:
            low = self.generator.low_resolution(context)
            low_region = region_weights(batch.brain_low, background)
            terms["low"] = reconstruction_loss(low, batch.target_low, low_region)
        loss = torch.stack(
            [getattr(settings, f"weight_{name}") * term for name, term in terms.items()]
        ).sum()

        if settings.joined(step):
            source = take_slabs(window, offsets, thickness)
            depth = batch.source_low.shape[2] * LOW_RES_FACTOR
            position = batch.slab_start / max(depth - thickness, 1)
            real = self._logits(source, target, position, batch, batch.target_low)
            fake = self._logits(
                source, image.detach(), position, batch, None if low is None else low.detach()
            )
            discriminator_loss = torch.stack(
                [real_loss(r) + fake_loss(f) for r, f in zip(real, fake, strict=True)]
            ).sum()
            update("discriminator", discriminator_loss)
            terms["discriminator"] = discriminator_loss
            adversarial = torch.stack(
                [real_loss(logits) for logits in self._logits(source, image, position, batch, low)]
            ).sum()
            terms["adversarial"] = adversarial
            loss = loss + settings.weight_adversarial * adversarial
        update("generator", loss)
        return {name: term.detach() for name, term in terms.items()}

    def _logits(
        self,
        source: Tensor,
        target: Tensor,
        position: Tensor,
        batch: TranslationBatch,
        low: Tensor | None,
    ) -> list[Tensor]:
        """Logits of D^H(X_r^H, r) and, with the low-resolution branch, of D^L(X^L), on pairs."""
        logits = [self.slab_discriminator(torch.cat([source, target], dim=1), position)]
        if self.low_discriminator is not None and low is not None:
            logits.append(self.low_discriminator(torch.cat([batch.source_low, low], dim=1)))
        return logits

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """Every part, for volumes of this (D, H, W)."""
        depth, height, width = size
        slab = min(self.settings.slab, depth)
        pair = len(self.settings.source) + 1
        seen = (pair - 1, min(slab + 2 * self.settings.halo, depth), height, width)
        critics: list[tuple[nn.Module, str, tuple[tuple[int, ...], ...]]] = [
            (self.slab_discriminator, "D^H", ((pair, slab, height, width), ()))
        ]
        if self.low_discriminator is not None:
            low = tuple(side // LOW_RES_FACTOR for side in size)
            critics.append((self.low_discriminator, "D^L", ((pair, *low),)))
        return [
            *self.generator.parts(size, seen),
            *(Part(symbol, critic, given, critic) for critic, symbol, given in critics),
        ]
