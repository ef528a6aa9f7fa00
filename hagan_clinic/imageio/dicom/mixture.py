"""Images that do not belong together are refused by name, though they share a series UID."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.planes import Plane, name_of, numbers_text
from hagan_clinic.imageio.dicom.series import Instance, Series, Slice
from hagan_clinic.imageio.dicom.values import number, text, words

COSINE = 1e-4
"""Difference of orientation cosines that counts as none: 0.012 mm at 120 mm from the centre."""

_MAX_PARTS = 64

_PIXEL_MM = 1e-4  # the last decimal of a pixel spacing

# What a scan has one of besides. BitsStored is not among it: scanners follow the largest value of
# each slice with it.
_ONE_VALUE = (
    "FrameOfReferenceUID",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "BitsAllocated",
    "PixelRepresentation",
)


def refuse_other_kinds(series: Series) -> None:
    """Mosaics, and localizers under the UID of another scan."""
    kinds = {one.name: words(one.header, "ImageType") for one in series.instances}
    for name, kind in kinds.items():
        if "MOSAIC" in kind:
            raise InputError(
                f"{name}: is a mosaic (ImageType), many slices tiled in one image, expected one "
                "image a slice; export the series as enhanced or single-frame MR"
            )
    localizers = [name for name, kind in kinds.items() if "LOCALIZER" in kind]
    if localizers and len(localizers) < len(kinds):
        raise InputError(
            f"{localizers[0]}: is a localizer among other images under one series UID "
            f"({len(localizers)} of {len(kinds)} images are localizers), expected one volume; "
            "leave the localizers out"
        )


def refuse_copies(series: Series) -> None:
    """Two files of one SOP Instance UID, and images of several patients or studies."""
    first: dict[str, str] = {}
    for one in series.instances:
        uid = text(one.header, "SOPInstanceUID")
        if not uid:
            raise InputError(
                f"{one.name}: has no SOPInstanceUID, so nothing derived from it could refer to it; "
                "export the series again"
            )
        if uid in first:
            raise InputError(
                f"{one.name}: has the SOP Instance UID of {first[uid]}, expected each image once; "
                "leave the copy out"
            )
        first[uid] = one.name
    headers = [one.header for one in series.instances]
    keywords = {"StudyInstanceUID": "study", "PatientID": "patient"}
    if not any(text(header, "PatientID") for header in headers):
        keywords |= {"PatientName": "patient", "PatientBirthDate": "patient"}
    for keyword, what in keywords.items():
        values = [text(header, keyword) for header in headers]
        (usual, often), *others = Counter(values).most_common()
        if others:
            odd = next(
                one for one, value in zip(series.instances, values, strict=True) if value != usual
            )
            raise InputError(
                f"{odd.name}: is of another {what} ({keyword}) than {often} of {len(values)} "
                "images under its series UID, expected one"
            )


def refuse_parts(series: Series) -> None:
    """A concatenation of which an instance is missing (PS3.3 C.7.6.16.2.2.4)."""
    parts: dict[str, dict[int, Instance]] = {}
    for one in series.instances:
        if uid := text(one.header, "ConcatenationUID"):
            place = int(number(one.header, "InConcatenationNumber") or 0)
            parts.setdefault(uid, {})[place] = one
    for there in parts.values():
        totals = (number(one.header, "InConcatenationTotalNumber") for one in there.values())
        total = int(max((count for count in totals if count), default=max(there)))
        # A number that lies must not make a long list.
        if gone := [place for place in range(1, min(total, _MAX_PARTS) + 1) if place not in there]:
            first = there[min(there)]
            raise InputError(
                f"{first.name}: is part {min(there)} of {total} of a concatenation, and part "
                f"{', '.join(map(str, gone))} is missing; export the series again, whole"
            )


def refuse_mixed(slices: tuple[Slice, ...], planes: list[Plane]) -> None:
    """Refuse slices that differ in what a volume has once; the odd ones are named."""
    _refuse_odd(slices, [plane.matrix for plane in planes], "matrix (rows, columns)")
    for what, rows, tolerance in (
        ("ImageOrientationPatient", [plane.directions.ravel() for plane in planes], COSINE),
        ("PixelSpacing", [plane.spacing for plane in planes], _PIXEL_MM),
    ):
        table = np.array(rows)
        if (np.abs(table - table[0]) > tolerance).any():
            # Each stands for the first row that it equals within the tolerance.
            firsts = [
                int(np.argmax((np.abs(table - row) <= tolerance).all(axis=1))) for row in table
            ]
            _refuse_odd(slices, firsts, what, [numbers_text(table[first]) for first in firsts])
    _refuse_odd(slices, [_echo_time(part) for part in slices], "EchoTime")
    for keyword in _ONE_VALUE:
        values = [text(part.instance.header, keyword) or "none" for part in slices]
        _refuse_odd(slices, values, keyword, _unsaid(values) if keyword.endswith("UID") else None)


def _unsaid(uids: list[str]) -> list[str]:
    """What a message calls UIDs, which lead to a patient: by their first appearance."""
    firsts = list(dict.fromkeys(uids))
    return [f"no. {firsts.index(uid) + 1}" for uid in uids]


def _echo_time(part: Slice) -> str:
    """To three digits: the second echo of a pair is several times the first."""
    echo = number(part.instance.header, "EchoTime")
    return "none" if echo is None else f"{echo:.3g} ms"


def _refuse_odd(
    slices: tuple[Slice, ...],
    values: Sequence[Hashable],
    what: str,
    names: Sequence[str] | None = None,
) -> None:
    """Refuse slices of different `values`; `names` is how a message says them."""
    (usual, often), *others = Counter(values).most_common()
    if not others:
        return
    odd, seldom = others[-1]
    first, like_most = values.index(odd), values.index(usual)
    said = names or [str(value) for value in values]
    raise InputError(
        f"{name_of(slices[first])}: has the {what} {said[first]}, where {often} of {len(slices)} "
        f"slices have {said[like_most]} (and {seldom} have its); expected one volume: export the "
        "images of one scan alone"
    )
