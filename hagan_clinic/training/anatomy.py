"""What a cohort measures: brain and lesions of brain MR, lung, fat and bone of chest CT."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import read
from hagan_clinic.intensity import from_unit, source_window, to_unit
from hagan_clinic.runtime.exploration.emphysema import LUNG_HU, mark_emphysema
from hagan_clinic.runtime.exploration.marking import Figure
from hagan_clinic.runtime.exploration.measures import THRESHOLD, ThresholdVolume
from hagan_clinic.runtime.exploration.tissues import FAT_HU, mark_tissues
from hagan_clinic.volume import Volume, to_canonical


@dataclass(frozen=True)
class Anatomy:
    """What was measured in one subject.

    Attributes:
        subject: As in the cohort.
        brain_ml: Volume of the brain.
        lesion_ml: Volume of all lesion labels; None where it was not asked for.
    """

    subject: Subject
    brain_ml: float
    lesion_ml: float | None


def measure_cohort(
    subjects: Sequence[Subject],
    *,
    lesions: bool = False,
    stripped: bool = False,
    threshold: float | None = None,
    progress: Callable[[], None] = lambda: None,
) -> tuple[list[Anatomy], float | None]:
    """Measure every subject.

    The brain is the brain mask. Where all masks have one volume, as one template's mask for a
    cohort aligned to it has, that says nothing about a patient: the brain is then what is brighter
    than a threshold in the skull-stripped image, on the scale that training uses. In T1 that is
    tissue without fluid.

    Args:
        subjects: Each with one image, and a mask unless `stripped`.
        lesions: Measure the lesion label maps too.
        stripped: The images hold the brain alone: what is brighter than the threshold in them is
            measured, and no mask needed.
        threshold: On [0, 1]; measures by it whatever the masks are. If None, `THRESHOLD` where
            one is needed.
        progress: Called as each subject is done.

    Returns:
        The measurements in the order of the subjects, and the threshold, or None where the brain
        is the mask.

    Raises:
        InputError: A subject lacks a mask or a lesion map, a file cannot be read, or the
            threshold is out of range.
    """
    _check_present(subjects, lesions=lesions, stripped=stripped)
    # One file may be the mask of many.
    volume_of = lru_cache(maxsize=None)(_marked_ml)
    masks = [] if stripped else [volume_of(_present(subject.mask)) for subject in subjects]
    common = len(masks) > 1 and len(set(masks)) == 1
    if threshold is None and (stripped or common):
        threshold = THRESHOLD
    measured = []
    for number, subject in enumerate(subjects):
        try:
            brain = masks[number] if threshold is None else _bright_ml(subject, threshold)
        except InputError as error:
            raise InputError(f"{subject.name}: {error}") from error
        lesion = _marked_ml(_present(subject.lesion)) if lesions else None
        measured.append(Anatomy(subject, brain, lesion))
        progress()
    return measured, threshold


def measure_chests(
    subjects: Sequence[Subject],
    *,
    lungs: bool,
    tissues: bool,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Measure every subject's chest CT, on its own voxels.

    Args:
        subjects: Each with one image in HU.
        lungs: Measure `lung_ml` and `emphysema_percent`.
        tissues: Measure `fat_ml` and `bone_ml`.
        progress: Called as each subject is done.

    Returns:
        Column -> a value of each subject.

    Raises:
        InputError: A file cannot be read, or no lung, or no fat, is found in it.
    """
    columns: dict[str, list[float]] = {}
    for subject in subjects:
        file = next(iter(subject.images.values()))
        volume = to_canonical(read(file))
        figures: list[Figure] = []
        if lungs:
            figures += mark_emphysema(volume.array, volume.spacing).figures
            if not figures[0].value:
                raise InputError(
                    f"{subject.name}: {file.name} shows no lung (no region below {LUNG_HU} HU "
                    "inside the body); expected a chest CT in HU"
                )
        if tissues:
            fat, bone = mark_tissues(volume.array, volume.spacing).figures
            if not fat.value:
                raise InputError(
                    f"{subject.name}: {file.name} shows no fat (nothing from {FAT_HU[0]} to "
                    f"{FAT_HU[1]} HU inside the body); expected a CT in HU"
                )
            figures += [fat, bone]
        for figure in figures:
            columns.setdefault(figure.column, []).append(figure.value)
        progress()
    return columns


def _check_present(subjects: Sequence[Subject], *, lesions: bool, stripped: bool) -> None:
    unmasked = [subject.name for subject in subjects if subject.mask is None]
    if unmasked and not stripped:
        raise InputError(
            f"{len(unmasked)} of {len(subjects)} subjects have no brain mask: {some(unmasked)}; "
            "give --mask, or --stripped if the images are skull-stripped"
        )
    unlabelled = [subject.name for subject in subjects if subject.lesion is None]
    if lesions and unlabelled:
        raise InputError(
            f"{len(unlabelled)} of {len(subjects)} subjects have no lesion label map: "
            f"{some(unlabelled)}; add them, or leave --lesions out"
        )


def _marked_ml(file: Path) -> float:
    """Volume of the voxels of a mask or label map that are not background."""
    volume = read(file)
    return float(np.count_nonzero(volume.array > 0.5)) * _voxel_ml(volume)


def _bright_ml(subject: Subject, threshold: float) -> float:
    """Volume brighter than the threshold, within the mask if there is one."""
    volume = read(next(iter(subject.images.values())))
    if subject.mask is not None:
        volume = volume.with_array(np.where(read(subject.mask).array > 0.5, volume.array, 0))
    volume = to_canonical(volume)
    fraction = from_unit(to_unit(volume.array, source_window(volume.array, volume.spacing)))
    return ThresholdVolume(threshold, volume.spacing)(fraction)


def _voxel_ml(volume: Volume) -> float:
    return abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000


def _present(file: Path | None) -> Path:
    assert file is not None  # as `_check_present` made sure
    return file
