"""Validation of a translating generator on the calibration patients."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.errors import InputError
from hagan_clinic.intensity import from_unit
from hagan_clinic.metrics.calibration import interval_factor
from hagan_clinic.metrics.image_quality import psnr, ssim
from hagan_clinic.runtime.exploration.pictures import middle_planes
from hagan_clinic.training.montage import Picture, montage
from hagan_clinic.training.trainable import TrainableModel, Validation

MONTAGE_SUBJECTS = 4
Volume = NDArray[np.float32]

SCALE_SHOWN = 4
"""The uncertainty is drawn so many times brighter: errors are a small part of the range."""


class TranslationModel(TrainableModel):
    """A model that translates, and is validated so."""

    def validate(
        self,
        averaged: nn.Module,
        subjects: Sequence[PreparedSubject],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Validation:
        """Metrics of the averaged generator on the calibration patients."""
        return validate_translation(averaged, subjects, device)


def validate_translation(
    generator: nn.Module, subjects: Sequence[PreparedSubject], device: torch.device
) -> Validation:
    """In-brain PSNR and SSIM of both forms of every head, and the conformal factor.

    Args:
        generator: source (1, C, D, H, W) -> target, scale, ...
        subjects: the calibration patients, with targets.
        device: where the generator is.

    Returns:
        Figures ``psnr``, ``ssim`` (means over subjects and forms), ``interval_factor`` and, of
        the subjects that have both forms, ``psnr_head`` and ``psnr_stripped``; the score is the
        PSNR. The montage has a row a subject: source, synthetic, real, uncertainty; middle axial
        slices, the patient's right on the left.

    Raises:
        InputError: a subject has no target.
    """
    psnrs: list[float] = []
    of_both: dict[str, list[float]] = {"psnr_head": [], "psnr_stripped": []}
    ssims: list[float] = []
    ratios: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]] = []
    rows: list[list[tuple[str, Picture]]] = []
    for subject in subjects:
        for stripped in [False, True][: subject.forms]:
            source, target, brain = subject.load(stripped)
            if target is None:
                raise InputError(f"{subject.name} has no target image to validate on")
            inputs = torch.from_numpy(source)[None].to(device)
            outputs = generator(inputs)
            image, scale = (t[0, 0].float().cpu().numpy() for t in outputs[:2])
            inside = brain[0] > 0
            prediction, reference = from_unit(image), from_unit(target[0])
            psnrs.append(psnr(prediction, reference, inside))
            if subject.forms == 2:
                of_both["psnr_stripped" if stripped else "psnr_head"].append(psnrs[-1])
            ssims.append(ssim(prediction, reference, inside))
            ratios.append((subject.patient, (image - target[0])[inside], scale[inside]))
            row = _row(source[0], image, target[0], scale)
        if len(rows) < MONTAGE_SUBJECTS:
            rows.append(row)
    metrics = {
        "psnr": float(np.mean(psnrs)),
        "ssim": float(np.mean(ssims)),
        "interval_factor": interval_factor(ratios),
    }
    metrics |= {name: float(np.mean(values)) for name, values in of_both.items() if values}
    return Validation(metrics["psnr"], metrics, montage(rows))


def _row(
    source: Volume, synthetic: Volume, real: Volume, scale: Volume
) -> list[tuple[str, Picture]]:
    """Middle axial slices of volumes in [-1, 1], and of the scale in the same units."""
    shown: dict[str, Volume] = {
        "source": from_unit(source),
        "synthetic": from_unit(synthetic),
        "real": from_unit(real),
        f"uncertainty x{SCALE_SHOWN}": np.float32(SCALE_SHOWN / 2) * scale,
    }
    return [(caption, middle_planes(volume)[0]) for caption, volume in shown.items()]
