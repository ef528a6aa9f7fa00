"""Read a subject's files once: what is wrong with each, and a `Look` at those that are sound."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.check.finding import Finding, error, warning
from hagan_clinic.data.check.look import Look, coarse
from hagan_clinic.data.cohort import difference
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.imageio.contrast import contrast_sign
from hagan_clinic.imageio.contrast_fields import contrast_of_file
from hagan_clinic.imageio.sidecar import read_sidecar
from hagan_clinic.volume import Volume, same_lattice, to_axes_of, to_canonical

EDGE_PART = 0.1
"""A brain with more than this of its largest slice on a face of the field is cut there."""

FULL_PART = 0.02
"""A brain with more voxels than this at the one highest value has lost its bright end."""

_FACES = (("bottom", "top"), ("back", "front"), ("left", "right"))


def look_at(subject: Subject, subset: str | None = None) -> tuple[Look | None, list[Finding]]:
    """Read all files of a subject, whatever is wrong with one of them.

    Returns:
        A look at the images that are sound and on the grid of the first, None if there is none;
        and the faults.
    """
    findings: list[Finding] = []
    volumes: dict[str, Volume] = {}
    for name, file in [*subject.images.items(), ("mask", subject.mask)]:
        if file is None:
            continue
        try:
            volume = to_canonical(read(file))
        except InputError as problem:
            findings.append(error(subject.name, "unreadable", f"{name}: {problem}"))
            continue
        fault = _empty(volume.array) if name != "mask" else _empty_mask(volume.array)
        if fault:
            findings.append(error(subject.name, "empty", f"{name} {fault}"))
        else:
            volumes[name] = volume
        if name != "mask":
            sign = contrast_of_file(file, read_sidecar(file))
            if sign and not contrast_sign(name):
                findings.append(
                    warning(
                        subject.name,
                        "contrast",
                        f"{name} looks contrast-enhanced ({sign}), and is not named so; give the "
                        "native scan",
                    )
                )
    if not volumes:
        return None, findings
    first, reference = next(iter(volumes.items()))
    for name in list(volumes)[1:]:
        if same_lattice(volumes[name].grid, reference.grid):
            volumes[name] = to_axes_of(volumes[name], reference.grid)
            continue
        text = difference(volumes.pop(name).grid, reference.grid)
        findings.append(
            error(
                subject.name,
                "grid",
                f"{name} is on another grid than {first}: {text}; register and resample them to "
                "one grid",
            )
        )
    mask = volumes.pop("mask", None)
    brain = None if mask is None else mask.array > 0.5
    if brain is not None:
        findings += _cut(subject.name, brain)
        for name, volume in volumes.items():
            findings += _full(subject.name, name, volume.array[brain])
    if not volumes:
        return None, findings
    images = {name: coarse(volume.array, reference.spacing) for name, volume in volumes.items()}
    look = Look(
        name=subject.name,
        patient=subject.patient,
        subset=subset,
        images={name: array for name, (array, _) in images.items()},
        spacing=next(iter(images.values()))[1],
        brain=None if brain is None else coarse(brain, reference.spacing)[0] > 0.5,
        digests={name: digest(volume.array) for name, volume in volumes.items()},
    )
    return look, findings


def digest(array: NDArray[Any]) -> str:
    """The sha256 of voxels: the same whatever type and file they are kept in."""
    found = hashlib.sha256(repr(array.shape).encode())
    for part in array:
        found.update(np.ascontiguousarray(part, np.float32).data)
    return found.hexdigest()


def _empty(array: NDArray[Any]) -> str | None:
    low, high = array.min(), array.max()
    if not np.isfinite([low, high]).all():
        return "holds NaN or infinite values; replace them"
    if low == high:
        return f"has the one value {float(low):g} throughout; expected an image: give the right one"
    return None


def _empty_mask(array: NDArray[Any]) -> str | None:
    return None if (array > 0.5).any() else "marks nothing; expected the brain: give the right one"


def _cut(name: str, brain: NDArray[np.bool_]) -> list[Finding]:
    """Whether a brain reaches a face of the field of view with a large part of it."""
    faces = []
    for axis, (low, high) in enumerate(_FACES):
        areas = np.count_nonzero(brain, axis=tuple({0, 1, 2} - {axis}))
        faces += [
            face
            for face, area in ((low, areas[0]), (high, areas[-1]))
            if area > EDGE_PART * areas.max()
        ]
    if not faces:
        return []
    text = f"the brain is cut at the {' and '.join(faces)} of the field of view; expected all of it"
    return [warning(name, "edge", f"{text}: look whether a part is missing")]


def _full(name: str, sequence: str, values: NDArray[Any]) -> list[Finding]:
    """Whether the bright end of an image has become one value."""
    part = np.count_nonzero(values == values.max()) / values.size
    if part <= FULL_PART:
        return []
    text = f"{sequence} has its highest value in {part:.0%} of the brain; expected hardly any"
    return [warning(name, "intensity", f"{text}: its bright end was cut off; export it again")]
