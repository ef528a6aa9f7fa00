"""Unconditional models at work: volumes from latents, and latents from scans.

What computes, ONNX Runtime or torch, is a `GeneratorNetwork` or an `EncoderNetwork`; all around
it is the same for both and lies here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.imageio import read
from hagan_clinic.intensity import foreground, from_unit
from hagan_clinic.preparation import prepare, stripped
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.library import find_model
from hagan_clinic.runtime.model_file import ModelFile, load_model
from hagan_clinic.runtime.model_interface import ENCODER, GENERATOR
from hagan_clinic.runtime.plausibility import UNSEEN_HEAD, UNSEEN_MASK
from hagan_clinic.runtime.provenance import licence_in_words
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.synthesis_network import OnnxEncoder, OnnxGenerator
from hagan_clinic.volume import Grid, Volume, resample, to_axes_of

Float32 = NDArray[np.float32]


class GeneratorNetwork(Protocol):
    """What computes a generator."""

    def image(self, latent: Float32) -> Float32:
        """From z with its one-hot label (1, latent + classes) a volume (D, H, W) in [-1, 1]."""


class EncoderNetwork(Protocol):
    """What computes an encoder."""

    def latent(self, volume: Float32) -> Float32:
        """From a volume (D, H, W) in [-1, 1] its z (latent,)."""


@dataclass(frozen=True)
class Facts:
    """What is known of an unconditional model, apart from its weights.

    Attributes:
        name: For people.
        identity: sha256 of the weights' file in the run folder; generator and encoder of one run
            have the same.
        recipe: How scans become volumes; its box is the size of a volume.
        latent: Length of z.
        classes: Class labels in the order of their one-hot vectors.
        label: Column of a cohort that holds them; empty for none.
        stripped: Whether the training removed what lies outside the brain mask.
        licence: SPDX expression of the weights' licence.

    Raises:
        ModelError: The recipe has no box, or a value is missing.
    """

    name: str
    identity: str
    recipe: Recipe
    latent: int
    classes: tuple[str, ...] = ()
    label: str = ""
    stripped: bool = True
    licence: str = "NOASSERTION"

    def __post_init__(self) -> None:
        if len(self.recipe.box) != 3 or not self.identity or self.latent < 1:
            raise ModelError(
                f"{self.name}: the model does not state its box, weights or latent "
                f"({self.recipe.box}, {self.identity!r}, {self.latent}): export it again"
            )

    @property
    def image(self) -> str:
        """The sequence."""
        return self.recipe.sources[0]

    @property
    def credit(self) -> str:
        """Which weights made a picture, and under which licence, in a line."""
        licence = licence_in_words(self.licence)
        return f"{self.name}, weights {self.identity[:12]}, {licence}"

    @property
    def grid(self) -> Grid:
        """The training box: (D, H, W) at the recipe's spacing, its centre at the world's origin."""
        d, h, w = self.recipe.box
        affine = np.zeros((4, 4))
        # D runs to superior (z), H to anterior (y), W to the right (x).
        for axis, (size, step) in enumerate(zip((d, h, w), self.recipe.spacing, strict=True)):
            affine[2 - axis, axis] = step
            affine[2 - axis, 3] = -step * (size - 1) / 2
        affine[3, 3] = 1
        return Grid((d, h, w), affine)


class _Model:
    """What generator and encoder state about themselves."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @property
    def name(self) -> str:
        """For people."""
        return self.facts.name

    @property
    def identity(self) -> str:
        """sha256 of the weights in the run folder."""
        return self.facts.identity

    @property
    def image(self) -> str:
        """The sequence that the model makes or reads."""
        return self.facts.image

    @property
    def latent(self) -> int:
        """Length of z, without the classes."""
        return self.facts.latent

    @property
    def classes(self) -> tuple[str, ...]:
        """Class labels; empty for none."""
        return self.facts.classes

    @property
    def grid(self) -> Grid:
        """The training box: canonical (D, H, W), its centre at the world's origin."""
        return self.facts.grid


class Generator(_Model):
    """G: latents to volumes.

    Args:
        facts: What is known of it.
        network: What computes.
    """

    def __init__(self, facts: Facts, network: GeneratorNetwork) -> None:
        super().__init__(facts)
        self._network = network

    def decode(self, latents: Float32, labels: Sequence[str] | None = None) -> Iterator[Float32]:
        """Volumes (D, H, W) in [0, 1], one after the other.

        Args:
            latents: (N, latent), without labels.
            labels: A class for each, where the model has classes.

        Raises:
            InputError: At once, before the first volume: latents of another length or not finite,
                labels missing, unknown or of another number, or given to a model without classes.
            ModelError: The network gave values that are not finite.
            DeviceError: Memory did not suffice.
        """
        joined = np.concatenate([self._checked(latents), self._one_hot(labels, len(latents))], 1)
        return (from_unit(self._network.image(row[None])) for row in joined)

    def _checked(self, latents: Float32) -> Float32:
        if latents.ndim != 2 or latents.shape[1] != self.latent:
            raise InputError(
                f"latents of shape {latents.shape}, expected (volumes, {self.latent}) for "
                f"{self.name}"
            )
        if not np.isfinite(latents).all():
            raise InputError("the latents hold NaN or infinite values; expected finite ones")
        return latents.astype(np.float32)

    def _one_hot(self, labels: Sequence[str] | None, count: int) -> Float32:
        chosen = list(labels or ())
        if not self.classes:
            if chosen:
                raise InputError(f"{self.name} has no classes: give no label")
            return np.empty((count, 0), np.float32)
        known = ", ".join(self.classes)
        if len(chosen) != count:
            raise InputError(
                f"{len(chosen)} labels for {count} latents: expected one of {known} for each"
            )
        if unknown := sorted(set(chosen) - set(self.classes)):
            raise InputError(f"unknown label {unknown[0]!r}: expected one of {known}")
        return np.eye(len(self.classes), dtype=np.float32)[[self.classes.index(c) for c in chosen]]


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan as an encoder sees it.

    Attributes:
        array: (D, H, W) float32 in [-1, 1], background -1.
        grid: Where it lies: the training box, in the scan's own space.
        brain: (D, H, W), where a mask was given.
        warnings: Of what the box leaves out.
    """

    array: Float32
    grid: Grid
    brain: NDArray[np.bool_] | None
    warnings: tuple[str, ...] = ()


class Encoder(_Model):
    """E: scans to latents, slab by slab.

    Args:
        facts: What is known of it.
        network: What computes.
    """

    def __init__(self, facts: Facts, network: EncoderNetwork) -> None:
        super().__init__(facts)
        self._network = network

    def prepare(
        self,
        scan: str | os.PathLike[str] | Volume,
        mask: str | os.PathLike[str] | Volume | None = None,
    ) -> Scan:
        """Read a scan and bring it to the training box, as training did.

        Args:
            scan: One scan of the model's sequence: a file, or a volume in scanner units.
            mask: Its brain mask on the same grid. The box is centred on it, and what lies outside
                is removed if the model was trained so.

        Raises:
            InputError: A file cannot be read, is constant or holds NaN, the mask is empty or on
                another grid. The message names the file.
        """
        try:
            volume = scan if isinstance(scan, Volume) else read(Path(scan))
            brain = mask if mask is None or isinstance(mask, Volume) else read(Path(mask))
            return self._prepare(volume, brain)
        except InputError as error:
            if isinstance(scan, Volume):
                raise
            raise InputError(named(error, scan)) from error

    def _prepare(self, scan: Volume, mask: Volume | None) -> Scan:
        # Training takes a constant image for one without a brain, whatever its mask says.
        foreground(scan.array)
        mask = None if mask is None else to_axes_of(mask, scan.grid)
        if mask is not None and self.facts.stripped and mask.shape == scan.shape:
            scan = stripped(scan, mask.array > 0.5, self.facts.recipe)
        prepared = prepare([scan], self.facts.recipe, mask=mask, mask_window=False)
        brain = None
        if mask is not None:
            marked = mask.with_array((mask.array > 0.5).astype(np.float32))
            brain = resample(marked, prepared.grid).array > 0.5
        most = UNSEEN_HEAD if mask is None else UNSEEN_MASK
        warning = (
            f"{prepared.unseen:.1%} of the {'head' if mask is None else 'brain mask'} lies outside "
            "the box that the model sees, and is not in the latent; check the voxel size"
        )
        warnings = (warning,) if prepared.unseen > most else ()
        return Scan(prepared.array[0], prepared.grid, brain, warnings)

    def encode(self, prepared: Float32) -> Float32:
        """The z (latent,) of a volume.

        Args:
            prepared: (D, H, W) in [-1, 1], as `prepare` gives it.

        Raises:
            InputError: Another shape, or a value that is not finite.
            ModelError: The network gave values that are not finite.
            DeviceError: Memory did not suffice.
        """
        if prepared.shape != self.grid.shape:
            raise InputError(
                f"a volume of shape {prepared.shape}, expected {self.grid.shape} for {self.name}"
            )
        if not np.isfinite(prepared).all():
            raise InputError("the volume holds NaN or infinite values; expected finite ones")
        return self._network.latent(np.ascontiguousarray(prepared, np.float32))


def named(error: Exception, path: str | os.PathLike[str]) -> str:
    """The error's message, with the file that it is about before it."""
    message = str(error)
    return message if str(path) in message else f"{path}: {message}"


def onnx_generator(
    path: str | Path,
    device: str = "auto",
    *,
    max_memory: str | int | None = None,
    threads: int | None = None,
) -> Generator:
    """The generator of a `.onnx` file.

    Args:
        path: As written by `hagan-clinic export --part generator`, or a bundled model's name.
        device: `auto`, `cpu`, `cuda` or `tensorrt`.
        max_memory: What the network may take, in bytes or as `1GiB`; by default a share of what
            is available. A generator with norm `position` then runs slab by slab where need be.
        threads: CPU threads; all usable cores if not given.

    Raises:
        ModelError: No usable file, or one of another kind.
        DeviceError: The device cannot be had.
    """
    model = load_model(find_model(path), GENERATOR)
    network = OnnxGenerator(model, choose_device(device), max_memory=max_memory, threads=threads)
    return Generator(_facts(model, model.shapes["latent"][1]), network)


def onnx_encoder(path: str | Path, device: str = "auto", *, threads: int | None = None) -> Encoder:
    """The encoder of a `.onnx` file; arguments and errors as of `onnx_generator`."""
    model = load_model(find_model(path, ENCODER), ENCODER)
    network = OnnxEncoder(model, choose_device(device), threads=threads)
    return Encoder(_facts(model, model.shapes["latent"][1]), network)


def _facts(model: ModelFile, length: int) -> Facts:
    """Facts of a file; `length` is that of its tensor `latent`, with the classes in a generator."""
    config: Mapping[str, Any] = model.training.get("config", {})
    classes = tuple(str(name) for name in config.get("classes", ()))
    return Facts(
        name=model.card.name,
        identity=str(model.training.get("weights_sha256", "")),
        recipe=model.recipe,
        latent=length - (len(classes) if model.kind == GENERATOR else 0),
        classes=classes,
        label=str(config.get("label", "")),
        stripped=bool(model.training.get("skull_stripped", True)),
        licence=model.card.licence,
    )
