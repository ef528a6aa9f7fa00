"""Validation of a synthesising generator and its encoder on the calibration patients."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from hagan_clinic.backbone.noise import noise
from hagan_clinic.backbone.synthesising import AutoencodingNetwork
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.intensity import from_unit
from hagan_clinic.metrics.diversity import maximum_mean_discrepancy, pairwise_ms_ssim
from hagan_clinic.metrics.image_quality import psnr, ssim
from hagan_clinic.runtime.exploration.pictures import middle_planes
from hagan_clinic.training.montage import montage
from hagan_clinic.training.trainable import TrainableModel, Validation

SAMPLES = 16
"""Synthetic volumes that are drawn, always from the same z."""

PAIRS = 24
SHOWN = 4

Volume = NDArray[np.float32]


class SynthesisModel(TrainableModel):
    """A model that synthesises, and is validated so."""

    autoencoder: AutoencodingNetwork

    @property
    def averaged(self) -> nn.Module:
        """Generator and encoder: their moving averages are validated, used and exported."""
        return self.autoencoder

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder that is trained."""
        return self.autoencoder.encoder is not None

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Metrics of the averaged generator and encoder on the calibration patients."""
        assert isinstance(averaged, AutoencodingNetwork)
        seed = self.settings.seed
        return validate_synthesis(
            averaged, subjects, device, seed=seed, encoder=self.encodes, labels=labels
        )


def validate_synthesis(
    autoencoder: AutoencodingNetwork,
    subjects: Sequence[PreparedSubject],
    device: torch.device,
    *,
    seed: int,
    encoder: bool = True,
    labels: Sequence[int] | None = None,
) -> Validation:
    """How much the samples are like unseen patients, how much unlike each other.

    Args:
        autoencoder: generator and encoder.
        subjects: the calibration patients.
        device: where the model is.
        seed: of the samples.
        encoder: whether E was trained, so that volumes can be brought back.
        labels: the classes of the patients, of a model with classes.

    Returns:
        Figures ``mmd`` (squared maximum mean discrepancy of samples and patients at a quarter of
        the resolution; the score is its negative), ``ms_ssim_samples`` and ``ms_ssim_real`` (mean
        over pairs: samples above patients are less diverse), and with an encoder
        ``reconstruction_psnr`` and ``reconstruction_ssim`` in the brain. The montage shows four
        samples, then two patients, each with its reconstruction beside it.
    """
    real: list[Volume] = []
    brought_back: list[Volume] = []
    scores: list[tuple[float, float]] = []
    for number, subject in enumerate(subjects):
        volume, _, brain = subject.load(stripped=True)
        real.append(from_unit(volume[0]))
        if not encoder:
            continue
        assert autoencoder.encoder is not None
        latent = autoencoder.encoder.encode(torch.from_numpy(volume)[None].to(device))
        label = None if labels is None else _one_hot(autoencoder, labels[number], device)
        back = _volume(autoencoder, latent, label)
        brought_back.append(back)
        inside = brain[0] > 0
        scores.append((psnr(back, real[-1], inside), ssim(back, real[-1], inside)))
    numbers = torch.arange(SAMPLES)
    latents = noise(seed, numbers, 0, autoencoder.config.latent).to(device)
    classes = autoencoder.config.classes
    samples = []
    for number in range(SAMPLES):
        label = _one_hot(autoencoder, number % classes, device) if classes else None
        samples.append(_volume(autoencoder, latents[number : number + 1], label))
    metrics = {
        "mmd": maximum_mean_discrepancy(_low(samples), _low(real)),
        "ms_ssim_samples": pairwise_ms_ssim(samples, PAIRS, seed),
        "ms_ssim_real": pairwise_ms_ssim(real, PAIRS, seed),
    }
    shown = [("synthetic", sample) for sample in samples[:SHOWN]]
    if encoder:
        metrics["reconstruction_psnr"] = float(np.mean([score[0] for score in scores]))
        metrics["reconstruction_ssim"] = float(np.mean([score[1] for score in scores]))
        for pair in zip(real[:2], brought_back[:2], strict=True):
            shown += zip(("real", "reconstruction"), pair, strict=True)
    return Validation(-metrics["mmd"], metrics, _sheet(shown))


def _volume(
    autoencoder: AutoencodingNetwork, latent: torch.Tensor, label: torch.Tensor | None
) -> Volume:
    """One synthetic volume (D, H, W) in [0, 1]."""
    joined = latent if label is None else torch.cat([latent, label], dim=1)
    image = autoencoder.generator(joined)[0]
    return from_unit(image[0, 0].float().cpu().numpy())


def _one_hot(autoencoder: AutoencodingNetwork, label: int, device: torch.device) -> torch.Tensor:
    """A class as (1, classes)."""
    number = torch.tensor([label], device=device)
    return functional.one_hot(number, autoencoder.config.classes).float()


def _low(volumes: Sequence[Volume]) -> NDArray[np.float64]:
    """Volumes as rows, at a quarter of the resolution."""
    stacked = torch.from_numpy(np.stack(volumes))[:, None]
    return functional.avg_pool3d(stacked, 4).flatten(1).double().numpy()


def _sheet(shown: Sequence[tuple[str, Volume]]) -> NDArray[np.uint8]:
    """Two volumes in a row, the middle planes of each beside each other."""
    tiles = [[(caption, plane) for plane in middle_planes(volume)] for caption, volume in shown]
    return montage([[*left, *right] for left, right in zip(tiles[::2], tiles[1::2], strict=True)])
