"""Whether all of a series is there: by the numbers that its headers state, and by the head's ends.

A sender that pauses leaves a part of a head that looks like a whole series: evenly spaced planes
that end somewhere in it. Headers of some scanners tell how many images there are to be; else the
area of the head from slice to slice shows an end that is cut.
"""

import re
from collections import Counter
from contextlib import closing

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.enhanced import is_enhanced
from hagan_clinic.imageio.dicom.pixels import read_pixels
from hagan_clinic.imageio.dicom.series import Instance, Series, Stack
from hagan_clinic.imageio.dicom.values import number, text, words
from hagan_clinic.intensity import foreground
from hagan_clinic.volume import Grid

# 3D series hold the whole head and air around it, give or take an ear. 2D ones are planned on the
# brain alone: real whole ones end with up to 0.41 of the largest cross-section (6 mm slices, at the
# vertex).
_CUT = {"3D": 0.15, "2D": 0.5}
"""Part of the largest cross-section of the head that shows on a cut end."""
_HEIGHT = {"3D": 0.75, "2D": 0.55}
"""Height of a brain below the vertex, at least, in breadths of the head."""

BY_NUMBER, CUT = "number", "cut"
"""Kinds of what is missing: images that headers state, an end of the head."""

_ONE_SIDED = 2.0  # times the other end; a slab within the head is cut on both sides alike
_CUT_OFF = "is cut off"
_SAMPLES = 16
_THIN_MM = 2.5  # between slices: those of 2D series of the brain are farther apart

_PRIVATE = (
    # Number of images, or of slice places, by private creator (dcm2niix reads the same).
    (0x2001, "Philips Imaging DD 001", 0x18, "NumberOfSlicesMR of Philips"),
    (0x0021, "GEMS_RELA_01", 0x4F, "LocationsInAcquisition of GE"),
)
_SIEMENS = 0x0029, "SIEMENS CSA HEADER", 0x20
_IMAGES = "ImagesInAcquisition"


def missing_by_number(series: Series) -> str:
    """What is missing by the standard's own attributes, "" for nothing or where none tells.

    These are NumberOfSeriesRelatedInstances (0020,1209), ImagesInAcquisition (0020,1002) and
    InConcatenationTotalNumber (0020,9163). The second counts images: an enhanced instance has one a
    frame.
    """
    headers = [one.header for one in series.instances]
    announced = number(series.header, "NumberOfSeriesRelatedInstances")
    if reason := _short(len(headers), announced, "NumberOfSeriesRelatedInstances"):
        return reason
    groups = {"InConcatenationTotalNumber": "ConcatenationUID"}
    if "DERIVED" not in words(series.header, "ImageType"):  # may tell of the images it is made of
        groups[_IMAGES] = "AcquisitionNumber"
    for counted, group in groups.items():
        present: Counter[str] = Counter()
        for header in headers:
            present[text(header, group)] += _frames(header) if counted == _IMAGES else 1
        for header in headers:
            have = present[text(header, group)]
            if reason := _short(have, number(header, counted), counted):
                return reason
    return ""


def missing_by_vendor(series: Series) -> str:
    """What is missing of an original scan by its vendor's private attributes, as above."""
    kind = words(series.header, "ImageType")
    if is_enhanced(series.header) or "MOSAIC" in kind or "DERIVED" in kind[:1]:
        return ""
    for announced, by in _vendors_numbers(series.instances[0]):
        if reason := _short(len(series.instances), announced, by):
            return reason
    return ""


def cut_end(stack: Stack) -> str:
    """Which end of a head is cut off, "" for none; a slab, cut at both ends alike, has none.

    In axial series the lower end may lie anywhere below the brain, and the upper end may not cut
    the head. In the others one end is cut where it shows much of the head and the other end does
    not.
    """
    if is_enhanced(stack.series.header):
        return ""  # one file: it is there or not
    slices = tuple(stack.slices[index] for index in sampled(len(stack.slices)))
    columns, rows, _ = stack.grid.shape
    some = Stack(stack.series, slices, Grid((columns, rows, len(slices)), stack.grid.affine))
    kind = text(stack.series.header, "MRAcquisitionType")
    is_3d = kind == "3D" or (not kind and stack.grid.spacing[2] <= _THIN_MM)
    try:
        return cut_of(read_pixels(some), len(stack.slices), stack.grid.affine, is_3d=is_3d)
    except InputError:  # the translation will say what is wrong
        return ""


def sampled(count: int) -> NDArray[np.int64]:
    """The slices of so many that are looked at, both ends among them."""
    return np.unique(np.linspace(0, count - 1, _SAMPLES).round().astype(np.int64))


def cut_of(
    some: NDArray[np.float32], count: int, affine: NDArray[np.float64], *, is_3d: bool
) -> str:
    """Which end of a head is cut off, as `cut_end`.

    Args:
        some: The `sampled` slices, (columns, rows, slices).
        count: Of all slices.
        affine: Of the volume, RAS+ mm.
        is_3d: Whether it is a 3D acquisition.

    Raises:
        InputError: There is no head; see `foreground`.
    """
    areas = foreground(some).sum(axis=(0, 1)).astype(np.float64)
    parts = areas / max(areas.max(), 1.0)
    kind = "3D" if is_3d else "2D"
    limit = _CUT[kind]
    normal = affine[:3, 2]
    axis = int(np.abs(normal).argmax())
    low, high = (parts[0], parts[-1]) if normal[axis] > 0 else (parts[-1], parts[0])
    names = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))[axis]
    if names[1] == "superior":
        if high >= limit:
            return _told("superior", high, limit)
        pixel = float(np.prod(np.linalg.norm(affine[:3, :2], axis=0)))
        breadth = 2 * np.sqrt(areas.max() * pixel / np.pi)
        extent = float(np.linalg.norm(normal)) * (count - 1)
        short = low >= limit and extent < _HEIGHT[kind] * breadth
        return _told("inferior", low, limit) if short else ""
    if max(low, high) < limit or max(low, high) < _ONE_SIDED * min(low, high):
        return ""
    return _told(names[int(high > low)], max(low, high), limit)


def kind_of(reason: str) -> str:
    """The kind of a reason that the functions here gave."""
    return CUT if _CUT_OFF in reason else BY_NUMBER


def _told(end: str, part: float, limit: float) -> str:
    return (
        f"the {end} end {_CUT_OFF}: its last slice shows {part:.0%} of the head's largest "
        f"cross-section, expected less than {limit:.0%}"
    )


def _frames(header: Dataset) -> int:
    """Number of images in an instance."""
    return max(1, int(number(header, "NumberOfFrames") or 1))


def _short(have: int, announced: float | None, by: str) -> str:
    if announced is None or have >= announced:
        return ""
    return f"{have} of {announced:.0f} images are here, as {by} says"


def _vendors_numbers(instance: Instance) -> list[tuple[float, str]]:
    """Numbers of images, and what states each."""
    header = instance.header
    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return []
    try:
        with closing(instance.open()) as stream:
            whole = dcmread(stream, stop_before_pixels=True)
        found = [(_private(whole, group, name, at), by) for group, name, at, by in _PRIVATE]
        protocol = _private(whole, *_SIEMENS)
    except MemoryError:
        raise
    except Exception:  # of no use then: whatever pydicom makes of a hostile header
        return []
    counts = [(float(value), by) for value, by in found if isinstance(value, int | float)]
    if isinstance(protocol, bytes):
        counts += _siemens_numbers(protocol, text(header, "MRAcquisitionType"))
    return counts


def _private(header: Dataset, group: int, creator: str, element: int) -> object:
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None


def _siemens_numbers(protocol: bytes, kind: str) -> list[tuple[float, str]]:
    """Slices by the measurement protocol (MrPhoenixProtocol) within the CSA series header."""
    names = {"2D": (b"sSliceArray.lSize",), "3D": (b"sSliceArray.lSize", b"sKSpace.lImagesPerSlab")}
    product = 1
    for name in names.get(kind, ()):
        match = re.search(re.escape(name) + rb"\s*=\s*(\d{1,6})\b", protocol)
        if match is None:
            return []
        product *= int(match[1])
    return [(float(product), "the protocol of Siemens")] if kind in names else []
