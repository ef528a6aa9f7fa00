"""The voxels of a stack, in the modality's units."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, Sequence

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.bounded import check_shape
from hagan_clinic.imageio.dicom.enhanced import frame_groups
from hagan_clinic.imageio.dicom.pixel_data import read_frames
from hagan_clinic.imageio.dicom.planes import name_of
from hagan_clinic.imageio.dicom.samples import StoredSamples, describe, element, extend, integer
from hagan_clinic.imageio.dicom.series import Slice, Stack


def read_pixels(stack: Stack, progress: Callable[[], object] | None = None) -> NDArray[np.float32]:
    """Decode every slice and rescale it by its own slope and intercept.

    MONOCHROME1 tells how to show values, not what they are (PS3.3 C.7.6.3.1.2): they are not
    inverted. Voxels of PixelPaddingValue, where there is no image, become 0, or the lowest value
    of the others if that is below 0.

    Args:
        stack: Slices of one volume.
        progress: Called after each slice.

    Returns:
        Finite float32 values of shape (columns, rows, slices), as `stack.grid`.

    Raises:
        InputError: If the pixel data of a slice are damaged, cut off, not what the header declares,
            or need a decoder that is not installed; the message begins with the slice's name.
    """
    columns, rows, count = check_shape(stack.grid.shape)
    numbers = {id(part): number for number, part in enumerate(stack.slices)}
    # An instance is opened once, and its frames are read from the first to the last.
    of_instance: dict[int, list[Slice]] = {}
    for part in stack.slices:
        of_instance.setdefault(id(part.instance), []).append(part)
    instances = [sorted(parts, key=lambda part: part.frame) for parts in of_instance.values()]
    described = [_described(parts, rows, columns) for parts in instances]
    alone = len({samples.stored for samples in described}) == 1
    rescales = _rescales(stack)
    volume: NDArray[np.float32] | None = None
    padded: dict[int, NDArray[np.bool_]] = {}
    for parts, samples in zip(instances, described, strict=True):
        instance = parts[0].instance
        places = [part.frame for part in parts]
        with closing(read_frames(instance, samples, places, alone=alone)) as frames:
            for part in parts:
                number = numbers[id(part)]
                with _naming(part):
                    frame = next(frames)
                    values = _rescaled(frame, rescales[number])
                    padding = _padding(frame, instance.header, samples)
                if volume is None:  # not before the first slice has shown that it is that large
                    volume = np.empty((count, rows, columns), dtype=np.float32)
                volume[number] = values
                if padding is not None:
                    padded[number] = padding
                if progress:
                    progress()
    assert volume is not None
    if padded:
        _clear(volume, padded)
    return volume.T


def _described(parts: list[Slice], rows: int, columns: int) -> StoredSamples:
    """How the instance of these slices stores its pixels, which must be of the stack's size."""
    with _naming(parts[0]):
        samples = describe(parts[0].instance.header)
        if (samples.rows, samples.columns) != (rows, columns):
            raise InputError(
                f"has {samples.rows} x {samples.columns} pixels, expected {rows} x {columns} as "
                "the others; give one volume"
            )
        if parts[-1].frame >= samples.frames:
            raise InputError(
                f"has {samples.frames} frames, expected {parts[-1].frame + 1}; copy it again"
            )
    return samples


def _rescales(stack: Stack) -> list[tuple[float, float]]:
    """Slope and intercept of every slice."""
    found = []
    for part in stack.slices:
        with _naming(part):
            found.append(rescale_of(part))
    rescales = [rescale for rescale in found if rescale is not None]
    if rescales and len(rescales) < len(found):
        raise InputError(
            f"{name_of(stack.slices[found.index(None)])}: has no RescaleSlope, where "
            f"{len(rescales)} of {len(found)} slices have one; expected the images of one scan"
        )
    return rescales or [(1.0, 0.0)] * len(found)


@contextmanager
def _naming(part: Slice) -> Iterator[None]:
    """Put the slice's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name_of(part)}: {error}") from error.__cause__
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{name_of(part)}: cannot be read ({reason})") from error
    except (BadZipFile, zlib.error) as error:
        raise InputError(f"{name_of(part)}: is damaged in its zip; copy it again") from error


def _rescaled(frame: NDArray[np.int64], rescale: tuple[float, float]) -> NDArray[np.float32]:
    """Stored values in the modality's units (PS3.3 C.11.1)."""
    slope, intercept = rescale
    if (slope, intercept) == (1.0, 0.0):
        return frame.astype(np.float32)
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = (frame * slope + intercept).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(
            f"its values overflow with RescaleSlope {slope:g} and RescaleIntercept {intercept:g}; "
            "correct the header"
        )
    return values


def rescale_of(part: Slice) -> tuple[float, float] | None:
    """RescaleSlope and RescaleIntercept of a slice, if it has them."""
    place = _transformation(part)
    given = [element(place, "RescaleSlope"), element(place, "RescaleIntercept")]
    if given == [None, None]:
        return None
    given = [1 if given[0] is None else given[0], 0 if given[1] is None else given[1]]
    try:
        slope, intercept = (float(value) for value in given)
    except (TypeError, ValueError, OverflowError):
        slope = intercept = np.nan
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise InputError(
            f"has the RescaleSlope {given[0]} and the RescaleIntercept {given[1]}, expected two "
            "numbers of which the first is not 0, or none; correct the header"
        )
    return slope, intercept


def _transformation(part: Slice) -> Dataset:
    """Where the rescale of a slice stands (PS3.3 C.7.6.16.2.9 for an enhanced one)."""
    header = part.instance.header
    if "PerFrameFunctionalGroupsSequence" not in header:
        return header
    for group in frame_groups(part):
        sequence = element(group, "PixelValueTransformationSequence")
        if sequence is not None:
            if not isinstance(sequence, Sequence) or len(sequence) != 1:
                raise InputError(
                    "has a PixelValueTransformationSequence that is not of one item; "
                    "correct the header"
                )
            transformation: Dataset = sequence[0]
            return transformation
    return header


def _padding(
    frame: NDArray[np.int64], header: Dataset, samples: StoredSamples
) -> NDArray[np.bool_] | None:
    """The voxels that PixelPaddingValue marks, if there are any (PS3.3 C.7.5.1.1.2)."""
    if element(header, "PixelPaddingValue") is None:
        return None
    # They are written with all bits that are allocated; one that no sample has marks no voxel.
    padding = integer(header, "PixelPaddingValue")
    ends = np.array([padding, integer(header, "PixelPaddingRangeLimit", padding)])
    low, high = extend(ends, samples.allocated, samples.signed).tolist()
    mask: NDArray[np.bool_] = (frame >= min(low, high)) & (frame <= max(low, high))
    return mask if mask.any() else None


def _clear(volume: NDArray[np.float32], padded: dict[int, NDArray[np.bool_]]) -> None:
    """Take the signal from voxels where there is no image."""
    lowest = np.inf
    for number, values in enumerate(volume):
        image = values[~padded[number]] if number in padded else values
        lowest = min(lowest, image.min(initial=np.inf))
    if lowest == np.inf:
        raise InputError("every voxel has the PixelPaddingValue: there is no image")
    for number, mask in padded.items():
        volume[number][mask] = min(0.0, lowest)
