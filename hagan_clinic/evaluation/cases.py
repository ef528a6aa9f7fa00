"""Patients to be translated and evaluated: source, reference and regions of each, on one grid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import read, read_grid
from hagan_clinic.intensity import foreground, from_unit, source_window, target_window, to_unit
from hagan_clinic.metrics.regions import Reference
from hagan_clinic.volume import Volume, same_lattice, to_canonical

HEAD, STRIPPED, AS_GIVEN = "head", "stripped", "as given"
FORMS = (HEAD, STRIPPED)
TUMOUR, HEALTHY = "tumour", "healthy"
SAME = 1e-6

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Case:
    """One subject in one form, everything in canonical axes (D, H, W) of the source's grid.

    Attributes:
        subject: As in the cohort.
        form: `head`, `stripped` (everything outside the brain mask is zero), or `as given` where
            there is no mask.
        sources: Scanner values by the name of the sequence.
        source: The first of them on [0, 1], as the recipes scale it.
        reference: The target on [0, 1] by its own in-brain percentiles.
        brain: The brain mask.
        tumour: The lesion inside the brain; all False without a label map.
        copies: Those sources that are the target itself, in the brain.
    """

    subject: Subject
    form: str
    sources: Mapping[str, Volume]
    source: Image
    reference: Image
    brain: Mask
    tumour: Mask
    copies: tuple[str, ...] = ()

    @property
    def occupied(self) -> Mask:
        """Where a reference baseline predicts: not in air."""
        return self.brain | foreground(next(iter(self.sources.values())).array)

    @property
    def parts(self) -> dict[str, Mask]:
        """The parts of the brain that get metrics of their own."""
        if not self.tumour.any():
            return {}
        return {TUMOUR: self.tumour, HEALTHY: self.brain & ~self.tumour}

    def scored(self) -> Reference:
        """The reference, ready to score predictions.

        Raises:
            InputError: It has no signal in the brain.
        """
        try:
            return Reference(self.reference, self.brain, self.parts)
        except InputError as error:
            raise InputError(f"{self.subject.name}: {error}") from error


def check_cases(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Refuse subjects that cannot be evaluated, before the first is; only headers are read.

    Returns:
        The forms that they can have.

    Raises:
        InputError: There is none, masks are missing for some, or a file lies on another grid than
            the subject's first sequence.
    """
    if not subjects:
        raise InputError("there is no subject to evaluate on; give another --subset of the split")
    bare = [subject.name for subject in subjects if subject.mask is None]
    if 0 < len(bare) < len(subjects):
        raise InputError(
            f"{len(bare)} of {len(subjects)} subjects have no brain mask: {some(bare)}; add them, "
            "give one --mask for all, or remove the others', as metrics must be of one kind"
        )
    grid_of = lru_cache(maxsize=None)(read_grid)
    for subject in subjects:
        (first, file), *others = subject.images.items()
        for name, extra in (("mask", subject.mask), ("label map", subject.lesion)):
            others += [(name, extra)] if extra is not None else []
        for name, other in others:
            if not same_lattice(grid_of(other), grid_of(file)):
                raise InputError(
                    f"{subject.name}: {name} ({grid_of(other)}) lies on another grid than {first} "
                    f"({grid_of(file)}); register and resample them to one grid"
                )
    return (AS_GIVEN,) if bare else FORMS


def read_cases(
    subject: Subject, sources: Sequence[str], target: str, forms: Sequence[str]
) -> Iterator[Case]:
    """The subject in each form; its files are read once.

    Raises:
        InputError: A file cannot be read, has no contrast, or the mask is empty. The message
            names the subject.
    """
    try:
        volumes = {name: _read(subject.images[name]) for name in sources}
        flair = _read(subject.images[target])
        first = volumes[sources[0]].array
        brain = foreground(first) if subject.mask is None else _read(subject.mask).array > 0.5
        reference = from_unit(to_unit(flair.array, target_window(flair.array, brain)))
        tumour = np.zeros_like(brain)
        if subject.lesion is not None:
            tumour = (_read(subject.lesion).array > 0.5) & brain
        truth = flair.array[brain]
        copies = [name for name in sources if np.array_equal(volumes[name].array[brain], truth)]
        for form in forms:
            keep = brain if form == STRIPPED else np.ones_like(brain)
            shown = {
                name: volume.with_array(np.where(keep, volume.array, np.float32(0)))
                for name, volume in volumes.items()
            }
            source = shown[sources[0]]
            window = source_window(source.array, source.spacing)
            yield Case(
                subject=subject,
                form=form,
                sources=shown,
                source=from_unit(to_unit(source.array, window)),
                reference=np.where(keep, reference, np.float32(0)),
                brain=brain,
                tumour=tumour,
                copies=tuple(copies),
            )
    except InputError as error:
        message = str(error)
        named = message if message.startswith(subject.name) else f"{subject.name}: {message}"
        raise InputError(named) from error


def _read(path: Path) -> Volume:
    return to_canonical(read(path))
