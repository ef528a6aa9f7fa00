"""Unconditional HA-GAN for training: generator, encoder, two discriminators and one training step.

The losses are those of Sun et al. 2022: L_GAN^H (eq. 4) and L_GAN^L (eq. 5) are binary
cross-entropies on the slab and on the low-resolution volume, L_recon^H (eq. 6) and L_recon^G
(eq. 7) the L1 errors of what E^H, and of what E^H and E^G together, bring back. Eq. 8 adds them
up, the last two times lambda. As in the authors' code each of G, D, E^H and E^G is updated in
turn by its own part of the sum.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from hagan_clinic.backbone.batch import SynthesisBatch
from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.optimisation import MUON_BETAS, ParameterGroup, Update, frozen
from hagan_clinic.backbone.parts import Part
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.errors import InputError
from hagan_clinic.training.trainable import Validation
from hagan_clinic.unconditional.adversary import AdversarialModel
from hagan_clinic.unconditional.components import fit_components
from hagan_clinic.unconditional.encoder import Autoencoder
from hagan_clinic.unconditional.end_to_end import train_end_to_end, whole_of
from hagan_clinic.unconditional.measurements import MeasurementHead
from hagan_clinic.unconditional.parts import parts_of
from hagan_clinic.unconditional.prior import prior_discrepancy
from hagan_clinic.unconditional.settings import UnconditionalConfig
from hagan_clinic.unconditional.targets import Targets

BETAS = (0.0, 0.999)
"""The paper's, for every Adam."""


class HAGAN(AdversarialModel):
    """Generator (G^A, G^L, G^H), encoder (E^H, E^G) and discriminators (D^H, D^L).

    Args:
        settings: of the networks, losses and rates; those of data and training have no effect.
        autoencoder: instead of one of those sizes: its generator has the methods ``context``,
            ``slabs``, ``low`` and ``high`` of ``UnconditionalGenerator``, its encoder ``slab``,
            ``context`` and ``latent`` of ``VolumeEncoder``, and its ``config`` the sizes.
    """

    settings_class = UnconditionalConfig
    autoencoder: Autoencoder

    def __init__(
        self, settings: UnconditionalConfig | None = None, *, autoencoder: Autoencoder | None = None
    ) -> None:
        super().__init__()
        settings = settings or UnconditionalConfig()
        self.settings: UnconditionalConfig = settings
        self.config = config = settings.sizes() if autoencoder is None else autoencoder.config
        self.autoencoder = (
            Autoencoder(config, checkpointing=settings.gradient_checkpointing)
            if autoencoder is None
            else autoencoder
        )
        self.make_discriminators(settings, config)
        count = len(settings.measurements)
        self.measurement_head = MeasurementHead(config.latent, count) if count else None

    @property
    def encodes(self) -> bool:
        """Whether the encoder is trained."""
        return self.settings.encoder

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """As of every synthesis, with the score of ``choose_by``."""
        found = super().validate(averaged, subjects, labels, device)
        if self.settings.choose_by == "reconstruction":
            found = replace(found, score=found.metrics["reconstruction_psnr"])
        if self.settings.choose_by == "last":
            found = replace(found, score=0.0)
        return found

    def groups(self) -> dict[str, ParameterGroup]:
        """Parameters by the name of their optimiser."""
        settings, parts = self.settings, self.autoencoder
        trained: dict[str, nn.Module] = {"generator": parts.generator}
        with_head = [] if self.measurement_head is None else [self.measurement_head]
        if settings.end_to_end:
            trained = {"autoencoder": nn.ModuleList([parts, *with_head])}
        elif settings.encoder:
            slabs = nn.ModuleList([parts.encoder.slab])
            if self.config.levels > 1:
                slabs.extend(parts.encoder.coarser)
            trained["slab_encoder"] = slabs
            trained["latent_encoder"] = nn.ModuleList([parts.encoder.latent, *with_head])
        muon = settings.optimizer == "muon"
        quick = settings.discriminator_optimizer == "muon"
        groups = {
            "discriminator": ParameterGroup(
                list(self.all_discriminators().parameters()),
                settings.discriminator_lr,
                betas=MUON_BETAS if quick else BETAS,
                decays=quick,
                muon=quick,
            )
        }
        for name, part in trained.items():
            groups[name] = ParameterGroup(
                list(part.parameters()),
                settings.generator_lr,
                betas=MUON_BETAS if muon else BETAS,
                decays=muon,
                muon=muon,
            )
        return groups

    def context(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """The features A that slabs are made from, of z (B, latent) and class labels (B,)."""
        config = self.config
        if latent.ndim != 2 or latent.shape[1] != config.latent:
            raise InputError(
                f"z has the shape {tuple(latent.shape)}; expected (B, {config.latent})"
            )
        if (label is None) == bool(config.classes):
            expected = "a label for each z" if config.classes else "no labels"
            raise InputError(f"the model has {config.classes} classes: expected {expected}")
        return self.autoencoder.generator.context(latent, self.one_hot(label))

    def slabs(self, context: Tensor, starts: Tensor, thickness: int | None = None) -> Tensor:
        """One slab a sample: of ``context``, r (B,) and slices -> X_r^H (B, 1, thickness, H, W).

        With norm ``position`` they are what the whole volume is, within 1e-4.
        """
        return self.autoencoder.generator.slabs(context, starts, thickness or self.config.slab)

    def encode(self, volume: Tensor) -> Tensor:
        """The z (B, latent) of whole volumes (B, 1, D, H, W) in [-1, 1]."""
        return self.autoencoder.encoder.encode(volume)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Make whole volumes.

        Args:
            latent: z (B, latent), of N(0, I).
            label: (B,) int64, of a model with classes.

        Returns:
            (B, 1, D, H, W) in [-1, 1].

        Raises:
            InputError: z of another shape, or labels where there are none, or none.

        Example:
            >>> import torch
            >>> from hagan_clinic.unconditional import HAGAN, UnconditionalConfig
            >>> model = HAGAN(UnconditionalConfig(size=(32, 32, 32), slab=8, latent=16, width=64))
            >>> tuple(model(torch.randn(2, 16)).shape)
            (2, 1, 32, 32, 32)
        """
        generator, context = self.autoencoder.generator, self.context(latent, label)
        image: Tensor = generator.high(
            context if self.config.levels == 1 else generator.finest(context)
        )
        return image

    def training_step(
        self, batch: SynthesisBatch | Mapping[str, Tensor], step: int, update: Update
    ) -> dict[str, Tensor]:
        """The four updates on a batch, or the two of ``end_to_end``.

        Args:
            batch: a ``SynthesisBatch``, or a mapping of its entries.
            step: number of the step.
            update: called with the name of a group and its loss.

        Returns:
            The loss terms, detached.

        Raises:
            InputError: an entry of the batch is missing or has another shape.
        """
        batch = SynthesisBatch.of(batch)
        settings = self.settings
        generator, encoder = self.autoencoder.generator, self.autoencoder.encoder
        real = Targets.of(
            batch,
            self.config,
            seed=settings.seed,
            weight_region=settings.weight_region,
            squared=settings.reconstruction == "huber",
        )
        label = batch.label
        if label is not None:
            label = label.to(real.low.device, non_blocking=True)
        if settings.end_to_end:
            return train_end_to_end(self, batch, real, label, step, update)
        terms: dict[str, Tensor] = {}

        # 1. D^H and D^L.
        with torch.no_grad():
            fakes = self._generate(batch, real, label, draw=0)
        terms |= self.update_discriminators(real, fakes, label, update)
        del fakes

        # 2. G^A, G^L and G^H, on fresh noise.
        with frozen(self.all_discriminators()), frozen(encoder):
            fake, fake_low = self._generate(batch, real, label, draw=1)
            fake_logits = self.logits_of(fake, fake_low, real.positions)
            terms["generator"] = self.adversarial_loss(fake_logits, real=True)
            loss = terms["generator"]
            if label is not None:
                terms["class_fake"] = self.class_loss(fake_logits, label)
                loss = loss + settings.weight_class * terms["class_fake"]
            if settings.encoder and settings.encoder_loss_to_generator:
                with torch.no_grad():
                    latent = self._encoded(batch)
                brought_back = self._slab_loss(batch, real)
                brought_back = brought_back + self._volume_loss(real, latent, label)
                loss = loss + settings.weight_reconstruction * brought_back
            update("generator", loss)
            del fake, fake_low, fake_logits

        # 3. E^H and 4. E^G.
        if settings.encoder:
            with frozen(generator):
                terms["slab_encoder"] = self._slab_loss(batch, real)
                update("slab_encoder", settings.weight_reconstruction * terms["slab_encoder"])
                latent = self._encoded(batch)
                terms["latent_encoder"] = self._volume_loss(real, latent, label)
                loss = settings.weight_reconstruction * terms["latent_encoder"]
                if settings.weight_prior:
                    terms["prior"] = prior_discrepancy(latent)
                    loss = loss + settings.weight_prior * terms["prior"]
                if self.measurement_head is not None:
                    loss = loss + self.measurement_loss(batch, latent, terms)
                update("latent_encoder", loss)
        return {name: term.detach() for name, term in terms.items()}

    def start(self, volumes: Iterator[Tensor]) -> None:
        """Fit the components of G and E to volumes (B, 1, D, H, W) in [-1, 1].

        Raises:
            InputError: fewer volumes than z has numbers.
        """
        factor = self.config.component_factor
        found = fit_components(volumes, self.config.latent, factor)
        image = self.autoencoder.generator.trunk.linear
        scores = self.autoencoder.encoder.latent.scores
        assert image is not None and scores is not None
        image.start(found)
        scores.start(found, factor)

    def _generate(
        self, batch: SynthesisBatch, real: Targets, label: Tensor | None, draw: int
    ) -> tuple[list[Tensor], Tensor | None]:
        """The fake slabs where each sample's real ones lie, and the fake X^L."""
        generator = self.autoencoder.generator
        latent = noise(self.settings.seed, batch.index, draw, self.config.latent)
        place = batch.source_low.device
        context = generator.context(latent.to(place, non_blocking=True), self.one_hot(label))
        slabs = self.pyramid(context, real.starts)
        # After the slabs: G^L's backward pass then comes first, and its activations are gone when
        # G^H's, the largest, need their gradients.
        low = generator.low(context) if self.settings.low_res_branch else None
        return slabs, low

    def pyramid(self, context: Tensor, starts: Sequence[Sequence[int]]) -> list[Tensor]:
        """What G makes of A on the slabs of every level."""
        generator = self.autoencoder.generator
        pyramid = getattr(generator, "pyramid", None)
        if pyramid is None:  # an autoencoder that is given has slabs of one level
            return [generator.slabs(context, torch.tensor(starts[0]), self.config.slab)]
        images: list[Tensor] = pyramid(context, starts)
        return images

    def _slab_loss(self, batch: SynthesisBatch, real: Targets) -> Tensor:
        """L_recon^H, eq. 6: what G^H makes of E^H's features of the slab.

        With more levels also what G makes, from each one's slab on, of what E makes there.
        """
        generator, encoder = self.autoencoder.generator, self.autoencoder.encoder
        losses = [real.error([generator.high(encoder.slab(real.slabs[-1]))])]
        for times in range(1, self.config.levels):
            with torch.no_grad():
                finer = encoder.coarsened(whole_of(batch), real.starts[-1 - times], times)
            features = encoder.coarser[times - 1](finer)
            losses.append(real.error(generator.without_halo(features, real.starts[-1 - times :])))
        return torch.stack(losses).sum()

    def measurement_loss(
        self, batch: SynthesisBatch, latent: Tensor, terms: dict[str, Tensor]
    ) -> Tensor:
        """How surprising measurements are given z, and how much their directions overlap."""
        if self.measurement_head is None or batch.measurements is None:
            raise InputError("the batch lacks measurements, which z is trained to predict")
        measurements = batch.measurements.to(latent, non_blocking=True)
        terms["measurements"] = self.measurement_head.surprise(latent, measurements)
        terms["overlap"] = self.measurement_head.overlap()
        return (
            self.settings.weight_measurements * terms["measurements"]
            + self.settings.weight_overlap * terms["overlap"]
        )

    def _encoded(self, batch: SynthesisBatch) -> Tensor:
        """The z (B, latent) of the whole volumes; no gradient reaches E^H."""
        encoder = self.autoencoder.encoder
        with torch.no_grad():
            features = encoder.context(whole_of(batch))
        latent: Tensor = encoder.latent(features)
        return latent

    def _volume_loss(self, real: Targets, latent: Tensor, label: Tensor | None) -> Tensor:
        """L_recon^G, eq. 7: what G makes of E^G's z, on the slabs and on X^L."""
        generator = self.autoencoder.generator
        context = generator.context(latent, self.one_hot(label))
        slabs = self.pyramid(context, real.starts)
        return real.error(slabs, generator.low(context) if self.settings.low_res_branch else None)

    def one_hot(self, label: Tensor | None) -> Tensor | None:
        """Class labels (B,) as (B, classes); None of a model without classes."""
        return None if label is None else functional.one_hot(label, self.config.classes)

    def parts(self, size: tuple[int, int, int]) -> list[Part]:
        """Every part, for volumes of the settings' size."""
        return list(
            parts_of(
                self.autoencoder,
                [*self.middle_discriminators, self.slab_discriminator],
                self.low_discriminator,
                encoder=self.settings.encoder,
            )
        )
