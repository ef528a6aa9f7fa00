"""Where a scan matters: label maps or saliency maps, prepared like the scans that they are of."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hagan_clinic.data.prepared import PreparedSubject, file_sha256
from hagan_clinic.data.stored import opened
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError, some
from hagan_clinic.imageio import atomic_path, read
from hagan_clinic.preparation import prepare
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import resample, to_axes_of, to_canonical

OWN = "seg"
"""Stands for each subject's own label map: the one beside its scan, or in the column ``seg``."""


def region_files(subjects: Sequence[Subject], region: str) -> list[Path]:
    """The map of every subject.

    Args:
        subjects: The cohort.
        region: ``seg``, or a file that is the map of all of them.

    Raises:
        InputError: There is no such file, or a subject has none of its own.
    """
    if region != OWN:
        if not Path(region).is_file():
            raise InputError(
                f"the region {region} does not exist; expected a label or saliency map for all, or "
                f"{OWN} for each subject's own label map"
            )
        return [Path(region)] * len(subjects)
    if missing := [subject.name for subject in subjects if subject.lesion is None]:
        raise InputError(
            f"{len(missing)} of {len(subjects)} subjects have no label map: {some(missing)}; add "
            "<subject>_seg.nii.gz beside their scans, or a column seg to the CSV"
        )
    return [subject.lesion for subject in subjects if subject.lesion is not None]


def prepare_regions(
    subjects: Sequence[Subject],
    prepared: Sequence[PreparedSubject],
    region: str,
    recipe: Recipe,
) -> list[Path]:
    """Bring every subject's map onto its prepared volume, once, in a file beside that.

    Labels count as 1 wherever they are above 0; a saliency map's values are taken as they are,
    from 0 to 1. A map may lie on another grid than its scan, in the same space.

    Args:
        subjects: The cohort.
        prepared: The same subjects.
        region: As of ``region_files``.
        recipe: Of the prepared volumes.

    Returns:
        ``.npy`` files of bytes (1, D, H, W): 255 is 1.

    Raises:
        InputError: A map is missing or cannot be read.
        OutputError: The folder cannot be written.
    """
    files = region_files(subjects, region)
    return [_prepared(*each, recipe) for each in zip(subjects, prepared, files, strict=True)]


def _prepared(subject: Subject, prepared: PreparedSubject, file: Path, recipe: Recipe) -> Path:
    facts = json.dumps([prepared.file.name, file_sha256(file)])
    key = hashlib.sha256(facts.encode()).hexdigest()[:16]
    result = prepared.file.with_suffix(f".{key}.region.npy")
    try:
        if opened(result).shape == (1, *prepared.shape):
            return result
    except (OSError, ValueError, EOFError):
        pass  # there is none, or it is damaged
    scan = read(subject.images[recipe.sources[0]])
    mask = None if subject.mask is None else to_axes_of(read(subject.mask), scan.grid)
    boxed = replace(recipe, box=prepared.shape)
    box = prepare([scan], boxed, mask=mask, mask_window=False).grid
    found = read(file)
    weight = to_canonical(found.with_array(np.clip(found.array, 0, 1).astype(np.float32)))
    on_box = resample(weight, box).array
    with atomic_path(result) as temporary:
        np.save(temporary, np.rint(on_box * 255).astype(np.uint8)[None])
    return result
