"""What unconditional HA-GAN minimises, and at which rates."""

from dataclasses import dataclass

from hagan_clinic.backbone.diffaugment import DiffAugment


@dataclass(frozen=True)
class Objective:
    """What is minimised, beyond the sizes.

    Attributes:
        low_res_branch: G^L and D^L take part; without them D^H alone discriminates (Table IV).
        encoder: E^H and E^G are trained (Table IV).
        encoder_to_generator: lambda times the reconstruction losses trains G too. Without it
            the encoder learns to invert G and cannot influence it, as in the authors' code.
        averaged_logits: one cross-entropy on the mean of the two discriminators' logits, as in
            the authors' code, instead of eq. 4 and 5.
        weight_reconstruction: lambda_1 and lambda_2 of eq. 8. Adam takes no notice of it where E
            alone is trained.
        weight_prior: of how far encoded z lie from N(0, I), in E^G's loss (``prior``); 0, the
            paper's, leaves E free to put z anywhere.
        weight_class: of the auxiliary class losses in G.
        augment: of what the discriminators see; None for nothing.
        generator_lr: of G, E^H and E^G.
        muon: G, E^H and E^G are trained by Muon at a rate that warms up and decays, not by Adam at
            a constant one.
        discriminator_lr: of D^H and D^L.
        seed: of the noise.
    """

    low_res_branch: bool = True
    encoder: bool = True
    encoder_to_generator: bool = False
    averaged_logits: bool = False
    weight_reconstruction: float = 5.0
    weight_prior: float = 0.0
    weight_class: float = 0.1
    augment: DiffAugment | None = None
    generator_lr: float = 1e-4
    muon: bool = False
    discriminator_lr: float = 4e-4
    seed: int = 0
