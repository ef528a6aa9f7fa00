"""Sets of volumes that are made or read as they are asked for, so that thousands fit in memory."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.prepared import PreparedSubject, prepare_cohort
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import SUFFIXES, is_volume_name, read, read_grid
from hagan_clinic.intensity import from_unit
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.latents import draw_latents
from hagan_clinic.runtime.synthesis import Generator
from hagan_clinic.volume import Shape, to_canonical

Float32 = NDArray[np.float32]


class VolumeSet(Sequence[Float32]):
    """Volumes (D, H, W) in [0, 1], of one shape; each is made again whenever it is asked for.

    Args:
        name: For tables and pictures.
        shape: Of every volume.
    """

    def __init__(self, name: str, shape: Shape) -> None:
        self.name, self.shape = name, shape

    @overload
    def __getitem__(self, number: int) -> Float32: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Float32]: ...

    def __getitem__(self, number: int | slice) -> Float32 | Sequence[Float32]:
        """One volume, or several."""
        if isinstance(number, slice):
            return [self.volume(one) for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.volume(number)

    @abstractmethod
    def volume(self, number: int) -> Float32:
        """One volume."""


class SampledVolumes(VolumeSet):
    """What a generator makes of latents drawn by a seed, every class in turn."""

    def __init__(self, name: str, generator: Generator, count: int, seed: int) -> None:
        super().__init__(name, generator.grid.shape)
        self._generator = generator
        self._latents = draw_latents(count, generator.latent, seed)

    def __len__(self) -> int:
        return len(self._latents)

    def volume(self, number: int) -> Float32:
        """The sample of this number."""
        classes = self._generator.classes
        labels = [classes[number % len(classes)]] if classes else None
        (image,) = self._generator.decode(self._latents[number : number + 1], labels)
        return image


class Folder(VolumeSet):
    """Volumes that some tool has made, in [0, 1].

    Args:
        folder: Of volume files.
        count: The most to take, in the order of their names; None for all.

    Raises:
        InputError: There is no folder or no volume, or their shapes differ.
    """

    def __init__(self, folder: Path, count: int | None = None) -> None:
        there = folder.iterdir() if folder.is_dir() else ()
        self._files = sorted(path for path in there if is_volume_name(path))
        if not self._files:
            raise InputError(
                f"{folder}: neither a run folder nor a folder of volumes ({', '.join(SUFFIXES)})"
            )
        self._files = self._files[:count]
        self.grid = to_canonical(read(self._files[0])).grid
        for path in self._files:
            if sorted(read_grid(path).shape) != sorted(self.grid.shape):
                raise InputError(
                    f"{path} has shape {read_grid(path).shape} and {self._files[0].name} "
                    f"{self.grid.shape}: expected one shape for all"
                )
        super().__init__(folder.resolve().name, self.grid.shape)

    def __len__(self) -> int:
        return len(self._files)

    def volume(self, number: int) -> Float32:
        """The volume of this number.

        Raises:
            InputError: Its values are not on [0, 1].
        """
        array = to_canonical(read(self._files[number])).array
        low, high = float(array.min()), float(array.max())
        if array.shape != self.shape or low < -0.01 or high > 1.01:
            raise InputError(
                f"{self._files[number]}: shape {array.shape}, values from {low:g} to {high:g}; "
                f"expected {self.shape} in canonical axes and values on [0, 1]"
            )
        volume: Float32 = np.clip(array, 0, 1).astype(np.float32)
        return volume


class Patients(VolumeSet):
    """Scans as training prepares them.

    Args:
        subjects: Of the cohort.
        recipe: How they are prepared.
        shape: Of the training box.
        cache: Folder of prepared volumes.
        stripped: Whether what lies outside the brain mask is removed.

    Raises:
        InputError: One cannot be read or prepared.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        recipe: Recipe,
        shape: Shape,
        cache: Path,
        *,
        stripped: bool,
    ) -> None:
        super().__init__("real", shape)
        self.subjects = list(subjects)
        self._stripped = stripped
        self._prepared: list[PreparedSubject] = prepare_cohort(
            subjects, replace(recipe, box=()), cache, shape=shape, workers=1
        )

    def __len__(self) -> int:
        return len(self._prepared)

    def volume(self, number: int) -> Float32:
        """The scan of the subject of this number."""
        source, _, _ = self._prepared[number].load(self._stripped)
        return from_unit(source[0])


class Resized(VolumeSet):
    """Volumes at another size: by nearest neighbour, as the paper's baselines, or averaging.

    Args:
        volumes: The set.
        shape: Multiples or whole fractions of its shape.

    Raises:
        InputError: They are not.
    """

    def __init__(self, volumes: VolumeSet, shape: Shape) -> None:
        fits = all(
            new % old == 0 or old % new == 0 for new, old in zip(shape, volumes.shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"{volumes.name} has volumes of {volumes.shape} voxels, which are no whole "
                f"multiple or fraction of {shape}; give another --size"
            )
        super().__init__(volumes.name, shape)
        self._volumes = volumes

    def __len__(self) -> int:
        return len(self._volumes)

    def volume(self, number: int) -> Float32:
        """The volume of this number, resized."""
        volume = self._volumes[number]
        for axis, (new, old) in enumerate(zip(self.shape, volume.shape, strict=True)):
            if new > old:
                volume = np.repeat(volume, new // old, axis)
            elif new < old:
                split = (*volume.shape[:axis], new, old // new, *volume.shape[axis + 1 :])
                volume = volume.reshape(split).mean(axis + 1, dtype=np.float32)
        return volume
