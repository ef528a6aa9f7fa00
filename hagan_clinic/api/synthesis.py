"""Volumes from noise, latents of scans, and scans made again from their latents."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.api.generators import check_class, load_encoder, load_generator
from hagan_clinic.api.scans import check_scans, encode_scans, find_scans
from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.intensity import from_unit
from hagan_clinic.runtime.latents import Latents, draw_latents
from hagan_clinic.runtime.synthesis import Encoder, Float32, Generator
from hagan_clinic.volume import Volume

PathOrName = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Samples:
    """Synthetic volumes.

    Attributes:
        volumes: (D, H, W) each in [0, 1], around the world's origin.
        latents: The z that they were made from, with their names and classes.
    """

    volumes: list[Volume]
    latents: Latents


def sample(
    model: PathOrName,
    count: int = 1,
    seed: int = 0,
    *,
    truncation: float | None = None,
    label: str | None = None,
    device: str = "auto",
    max_memory: str | int | None = None,
) -> Samples:
    """Make volumes from noise; each depends on the seed and its number alone.

    Args:
        model: The folder of an unconditional run, or the `.onnx` file of its generator.
        count: How many.
        seed: Of the noise.
        truncation: Values of z beyond ± this are drawn again; lower is more typical.
        label: Class of all volumes, for a model with classes; default each class in turn.
        device: `auto`, `cpu` or `cuda`.
        max_memory: Limit on what a file's network takes, in bytes or as `1GiB`.

    Raises:
        InputError: A class that the model does not have.
        ModelError: Nothing usable is there.
        DeviceError: The device cannot be had, or has too little memory.

    Example:
        >>> import hagan_clinic
        >>> samples = hagan_clinic.sample("unconditional", 2, seed=7)
        >>> [volume.shape for volume in samples.volumes], samples.latents.latents.shape
        ([(32, 32, 32), (32, 32, 32)], (2, 8))
    """
    generator = load_generator(Path(model), device, max_memory=max_memory)
    latents, images = draw(generator, count, seed, truncation=truncation, label=label)
    return Samples([Volume(image, generator.grid.affine) for image in images], latents)


def draw(
    generator: Generator,
    count: int,
    seed: int,
    *,
    truncation: float | None = None,
    label: str | None = None,
) -> tuple[Latents, Iterator[Float32]]:
    """The latents of samples, and their volumes one after the other; arguments as of `sample`."""
    check_class(generator, label)
    classes = generator.classes if label is None else (label,)
    labels = tuple(classes[number % len(classes)] for number in range(count)) if classes else ()
    names = tuple(f"sample_{number:04d}" for number in range(1, count + 1))
    drawn = draw_latents(count, generator.latent, seed, truncation)
    latents = Latents(drawn, names, generator.identity, generator.image, labels)
    return latents, generator.decode(drawn, labels or None)


def encode(
    model: PathOrName,
    *scans: PathOrName | Volume,
    mask: PathOrName | Volume | None = None,
    device: str = "auto",
) -> Latents:
    """Find the latents of scans.

    Args:
        model: The folder of an unconditional run, or the `.onnx` file of its encoder.
        scans: Volumes in scanner units (then called `volume_1` and so on), files, cohort folders
            and CSVs.
        mask: Brain mask on the grid of every scan.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        One row (latent,) a scan, with the scans' names.

    Raises:
        InputError: A scan cannot be used.
        ModelError: Nothing usable is there, or the run has no encoder.
        DeviceError: The device cannot be had, or has too little memory.

    Example:
        >>> import hagan_clinic
        >>> latents = hagan_clinic.encode("unconditional", "t1.nii.gz")
        >>> latents.names, latents.latents.shape
        (('t1',), (1, 8))
    """
    encoder = load_encoder(Path(model), device)
    volumes = [scan for scan in scans if isinstance(scan, Volume)]
    if not scans or (volumes and len(volumes) < len(scans)):
        raise InputError(
            "encode: expected one scan or more, all of them volumes or all of them paths"
        )
    if volumes:
        names = tuple(f"volume_{number}" for number in range(1, len(volumes) + 1))
        rows = np.stack([encoder.encode(encoder.prepare(scan, mask).array) for scan in volumes])
        return Latents(rows, names, encoder.identity, encoder.image)
    if isinstance(mask, Volume):
        raise InputError("encode: the mask is a volume and the scans are paths; expected its path")
    paths = [Path(scan) for scan in scans if not isinstance(scan, Volume)]
    found = find_scans(paths, encoder, None if mask is None else Path(mask))
    check_scans(encoder, found, quiet=True)
    rows, _ = encode_scans(encoder, found, quiet=True)
    labels = tuple(scan.label for scan in found) if encoder.classes else ()
    return Latents(
        rows, tuple(scan.name for scan in found), encoder.identity, encoder.image, labels
    )


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A scan, and what the generator makes of its latent.

    Attributes:
        volume: The reconstruction in [0, 1], in the training box around the scan's brain.
        scan: The scan in the same box, in [0, 1].
        latent: z (latent,).
        region: Where it is measured: `brain` where there is a mask, else `box`.
        psnr: In dB.
        ssim: Mean structural similarity.
        l1: Mean absolute error.
        warnings: Of what the box leaves out.
    """

    volume: Volume
    scan: Volume
    latent: Float32
    region: str
    psnr: float
    ssim: float
    l1: float
    warnings: tuple[str, ...] = ()


def reconstruct(
    model: PathOrName,
    scan: PathOrName | Volume,
    *,
    encoder: PathOrName | None = None,
    mask: PathOrName | Volume | None = None,
    label: str | None = None,
    device: str = "auto",
) -> Reconstruction:
    """Encode a scan, make a volume of its latent, and measure how like the scan it is.

    Args:
        model: The folder of an unconditional run, or the `.onnx` file of its generator.
        scan: A file, or a volume in scanner units.
        encoder: The `.onnx` file of the encoder, where `model` is a file.
        mask: Brain mask on the scan's grid.
        label: Class, of a model with classes.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: The scan cannot be used, or a class is missing or unknown.
        ModelError: Nothing usable is there, or generator and encoder are of two trainings.
        DeviceError: The device cannot be had, or has too little memory.

    Example:
        >>> import hagan_clinic
        >>> back = hagan_clinic.reconstruct("unconditional", "t1.nii.gz")
        >>> back.volume.shape, back.region, back.volume.grid.same_as(back.scan.grid)
        ((32, 32, 32), 'box', True)
    """
    encodes = load_encoder(Path(model if encoder is None else encoder), device)
    generates = load_generator(Path(model), device)
    check_pair(generates, encodes)
    check_class(generates, label)
    return reconstruct_with(generates, encodes, scan, mask=mask, label=label)


def check_pair(generator: Generator, encoder: Encoder) -> None:
    """Refuse a generator and an encoder of two trainings.

    Raises:
        ModelError: They are.
    """
    if encoder.identity != generator.identity:
        raise ModelError(
            f"encoder {encoder.name} and generator {generator.name} are of two trainings (weights "
            f"{encoder.identity[:12]} and {generator.identity[:12]}): give both parts of one"
        )


def reconstruct_with(
    generator: Generator,
    encoder: Encoder,
    scan: PathOrName | Volume,
    *,
    mask: PathOrName | Volume | None = None,
    label: str | None = None,
) -> Reconstruction:
    """`reconstruct` with models that are loaded already."""
    from hagan_clinic.metrics.image_quality import psnr, ssim

    prepared = encoder.prepare(scan, mask)
    latent = encoder.encode(prepared.array)
    (back,) = generator.decode(latent[None], [label] if label else None)
    real, brain = from_unit(prepared.array), prepared.brain
    return Reconstruction(
        volume=Volume(back, prepared.grid.affine),
        scan=Volume(real, prepared.grid.affine),
        latent=latent,
        region="box" if brain is None else "brain",
        psnr=psnr(back, real, brain),
        ssim=ssim(back, real, brain),
        l1=_mean_error(back, real, brain),
        warnings=prepared.warnings,
    )


def _mean_error(back: Float32, real: Float32, brain: NDArray[np.bool_] | None) -> float:
    error = abs(back - real)
    return float((error if brain is None else error[brain]).mean())
