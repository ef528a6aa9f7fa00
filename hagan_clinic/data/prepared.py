"""Prepared volumes on disk: each subject is read, oriented, scaled and cropped once.

Preparation is `hagan_clinic.preparation.prepare`, as at deployment. A head that comes with a
brain mask is kept in two forms, whole and skull-stripped, each scaled by its own voxels, because
a deployed model meets both. All arrays of a subject share one box, centred on its brain mask or,
without one, where deployment puts it.

A subject is one ``.npy`` file of bytes, read by memory map: 0 is -1 (background) and 255 is 1.
Rounding moves a value by at most 1/255, which is a PSNR of 59 dB; half precision would take twice
the space for an error that no translation comes near.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hagan_clinic.data.stored import opened
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError, OutputError, some
from hagan_clinic.imageio import atomic_path, read
from hagan_clinic.intensity import foreground, occupied_spans, target_window, to_unit
from hagan_clinic.preparation import BACKGROUND, network_grid, prepare, stripped
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import (
    Grid,
    Shape,
    Spacing,
    Volume,
    crop_or_pad,
    resample,
    to_axes_of,
    to_canonical,
)

CACHE_VERSION = 3
BOX_MARGIN_MM = 6.0
LARGEST_BOX_MM = (208.0, 240.0, 208.0)
"""Without a brain mask the box holds the head, and may be cut at this size: (D, H, W)."""

SKULL_PART = 0.05
"""A source with more foreground outside the brain mask, relative to the mask, has its skull."""

Bytes = NDArray[np.uint8]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class PreparedSubject:
    """A subject in the cache.

    Attributes:
        name: As in the cohort.
        patient: As in the cohort.
        file: Bytes (F * C + T + 1, D, H, W): the C source channels in each of F forms (whole
            head, then skull-stripped), the target if there is one (T = 1, else 0), the brain.
        channels: C.
        forms: F, 1 or 2.
        has_target: Whether T is 1.
        shape: (D, H, W).
        spacing: mm along D, H, W.
    """

    name: str
    patient: str
    file: Path
    channels: int
    forms: int
    has_target: bool
    shape: Shape
    spacing: Spacing

    def load(self, stripped: bool = False) -> tuple[Array, Array | None, Bytes]:
        """Source (C, D, H, W), target (1, D, H, W) or None, both float32 in [-1, 1], and brain.

        Args:
            stripped: The skull-stripped form: source and target are -1 outside the brain. A
                subject that has one form alone gives that.

        Returns:
            The brain is uint8, 0 or 1, of shape (1, D, H, W).
        """
        stored = opened(self.file)
        first = self.channels if stripped and self.forms == 2 else 0
        source = _from_bytes(stored[first : first + self.channels])
        brain = np.array(stored[-1:])
        if not self.has_target:
            return source, None, brain
        target = _from_bytes(stored[-2:-1])
        if stripped and self.forms == 2:
            target[brain == 0] = BACKGROUND
        return source, target, brain


def prepare_cohort(
    subjects: Sequence[Subject],
    recipe: Recipe,
    cache: Path | str,
    *,
    shape: Shape | None = None,
    workers: int = 2,
    progress: Callable[[], None] = lambda: None,
) -> list[PreparedSubject]:
    """Prepare every subject that the cache does not hold yet.

    Args:
        subjects: The cohort; each has the recipe's sources and its target.
        recipe: Spacing, sequences and intensity; an empty target means that there is none.
        cache: Folder of the prepared files. A file is named by the content of the subject's
            files and by the recipe, so several runs share one folder.
        shape: (D, H, W) for all; found by `box_shape` when None.
        workers: Threads.
        progress: Called as each subject is ready, by several threads.

    Raises:
        InputError: Subjects cannot be read or scaled; the message names them.
        OutputError: The cache cannot be written.
    """
    if shape is None:
        shape = box_shape(subjects, recipe)
    elif any(side <= 0 or side % recipe.multiple for side in shape):
        raise InputError(f"the training shape is {shape}; expected multiples of {recipe.multiple}")
    folder = Path(cache)
    digest = lru_cache(maxsize=None)(file_sha256)

    def ready(subject: Subject) -> PreparedSubject | str:
        try:
            prepared = _prepare_once(subject, recipe, folder, shape, digest)
        except InputError as error:
            return f"{subject.name}: {error}"
        progress()
        return prepared

    with ThreadPoolExecutor(max(1, workers)) as pool:
        results = list(pool.map(ready, subjects))
    wrong = [result for result in results if isinstance(result, str)]
    if len(wrong) == 1:
        raise InputError(wrong[0])
    if wrong:
        raise InputError(f"{len(wrong)} of {len(subjects)} subjects cannot be used: {some(wrong)}")
    return [result for result in results if not isinstance(result, str)]


def box_shape(subjects: Sequence[Subject], recipe: Recipe) -> Shape:
    """The smallest box in multiples of the recipe that holds every brain with a margin.

    The brain is the mask, or the foreground of the first source where there is none.

    Raises:
        InputError: A subject cannot be read, or has no foreground.
    """
    extent = lru_cache(maxsize=None)(_brain_extent)
    largest = np.zeros(3)
    for subject in subjects:
        file = subject.mask or subject.images[recipe.sources[0]]
        try:
            largest = np.maximum(largest, extent(file, subject.mask is not None, recipe.spacing))
        except InputError as error:
            raise InputError(f"{subject.name}: {error}") from error
    spacing = np.array(recipe.spacing)
    wanted = np.minimum(largest + 2 * np.ceil(BOX_MARGIN_MM / spacing), LARGEST_BOX_MM / spacing)
    d, h, w = (int(-(-side // recipe.multiple)) * recipe.multiple for side in wanted)
    return d, h, w


def check_size(subjects: Sequence[PreparedSubject]) -> list[str]:
    """A warning that names the subjects whose brain reaches an edge of the box, if there are any.

    The box is centred on the brain, so one that reaches an edge has most likely been cut there.
    """
    cut = []
    for subject in subjects:
        brain = opened(subject.file)[-1]
        if any(brain.take(edge, axis).any() for axis in range(3) for edge in (0, -1)):
            cut.append(subject.name)
    if not cut:
        return []
    shape = "x".join(map(str, subjects[0].shape))
    return [f"the training box of {shape} voxels cuts the brain of {some(cut)}; give a larger size"]


def _prepare_once(
    subject: Subject,
    recipe: Recipe,
    folder: Path,
    shape: Shape,
    digest: Callable[[Path], str],
) -> PreparedSubject:
    files = [*(subject.images[name] for name in _sequences(recipe)), subject.mask]
    facts = {
        "version": CACHE_VERSION,
        "files": [None if file is None else digest(file) for file in files],
        "sequences": _sequences(recipe),
        "spacing": recipe.spacing,
        "window": recipe.window or (recipe.percentiles, recipe.radius_mm, recipe.head_mm),
        "box": shape,
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    # A CSV may name its subjects anything; a name must not lead out of the folder.
    stem = re.sub(r"[^\w.-]", "_", subject.name)
    file = folder / f"{stem}-{key}.npy"
    channels, has_target = len(recipe.sources), bool(recipe.target)
    stored = _open(file, shape)
    if stored is None:
        stored = _prepare_subject(subject, recipe, shape)
        _make_folder(folder)
        with atomic_path(file) as temporary:
            np.save(temporary, stored)
    forms = (len(stored) - has_target - 1) // channels
    return PreparedSubject(
        subject.name, subject.patient, file, channels, forms, has_target, shape, recipe.spacing
    )


def _prepare_subject(subject: Subject, recipe: Recipe, shape: Shape) -> Bytes:
    first = read(subject.images[recipe.sources[0]])
    others = (subject.images[name] for name in recipe.sources[1:])
    sources = [first, *(to_axes_of(read(file), first.grid) for file in others)]
    mask = None if subject.mask is None else to_axes_of(read(subject.mask), first.grid)
    forms = [sources]
    if mask is None:
        region = _filled_foreground(sources[0].array)
    else:
        region = mask.array > 0.5
        if _has_skull(sources, region):
            forms.append([stripped(source, region, recipe) for source in sources])
    boxed = replace(recipe, box=shape)
    prepared = [prepare(form, boxed, mask=mask, mask_window=False) for form in forms]
    box = prepared[0].grid
    arrays: list[Array] = [channel for form in prepared for channel in form.array]
    grid = network_grid(sources[0].grid, recipe.spacing)
    if recipe.target:
        target = to_axes_of(read(subject.images[recipe.target]), first.grid)
        window = target_window(target.array, region, percentiles=recipe.percentiles)
        resampled = resample(to_canonical(target), grid)
        arrays.append(_cut(resampled.with_array(to_unit(resampled.array, window)), box))
    brain = resample(to_canonical(sources[0].with_array(region.astype(np.float32))), grid)
    codes = [np.rint((array + 1) * 127.5).astype(np.uint8) for array in arrays]
    codes.append((_cut(brain, box, fill=0.0) > 0.5).astype(np.uint8))
    return np.stack(codes)


def _sequences(recipe: Recipe) -> list[str]:
    return [*recipe.sources, *([recipe.target] if recipe.target else [])]


def _has_skull(sources: Sequence[Volume], mask: NDArray[np.bool_]) -> bool:
    outside = [int((foreground(source.array) & ~mask).sum()) for source in sources]
    return max(outside) > SKULL_PART * int(mask.sum())


def _filled_foreground(array: NDArray[Any]) -> NDArray[np.bool_]:
    """The foreground of an image with dark ventricles, as the brain of one that has no mask."""
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(foreground(array))
    return filled


def _brain_extent(file: Path, is_mask: bool, spacing: Spacing) -> NDArray[np.float64]:
    """Size of the brain's bounding box in voxels of the recipe."""
    volume = to_canonical(read(file))
    if is_mask:
        brain = volume.array > 0.5
        if not brain.any():
            raise InputError("the brain mask is empty; expected a mask that marks the brain")
        spans = occupied_spans(brain, part=0)
    else:
        head = foreground(volume.array)
        spans = occupied_spans(head)
    extent: NDArray[np.float64] = np.ptp(spans, axis=1) * volume.spacing / np.array(spacing)
    return extent


def _cut(volume: Volume, box: Grid, fill: float = BACKGROUND) -> Array:
    """The part of a volume in a box on the same lattice."""
    offset = np.linalg.solve(volume.affine[:3, :3], box.affine[:3, 3] - volume.affine[:3, 3])
    start = [int(step) for step in np.rint(offset)]
    return np.asarray(crop_or_pad(volume, start, box.shape, fill=fill).array, dtype=np.float32)


def _from_bytes(codes: Bytes) -> Array:
    values = codes.astype(np.float32)
    values /= 127.5
    values -= 1
    return values


def _open(file: Path, shape: Shape) -> Bytes | None:
    """The stored array, or None when there is none or it is damaged."""
    try:
        stored = opened(file)
    except (OSError, ValueError, EOFError):
        return None
    return stored if stored.dtype == np.uint8 and stored.shape[1:] == shape else None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} of the prepared volumes cannot be made: {error.strerror}; "
            "choose another"
        ) from error


def file_sha256(file: Path) -> str:
    """The sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
