"""The frames of an enhanced multi-frame instance (PS3.3, C.7.6.16) as slices."""

from pydicom import Dataset

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.headers import MR_STORAGE
from hagan_clinic.imageio.dicom.series import Instance, Slice
from hagan_clinic.imageio.dicom.values import items, number, text

# Where the attributes of a frame's plane are (PS3.3, C.7.6.16.2.1, .3 and .4).
_PLANE = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
}

# Attributes of a frame's content of which a volume has one value.
_ONE_VALUE = {
    "StackID": "stacks",
    "TemporalPositionIndex": "points in time",
}


def is_enhanced(header: Dataset) -> bool:
    """Whether an instance has its planes in functional groups."""
    storage = text(header, "SOPClassUID")
    return (
        "PerFrameFunctionalGroupsSequence" in header
        or storage in MR_STORAGE[1:]
        or (number(header, "NumberOfFrames") or 1) > 1
    )


def frames(instance: Instance) -> tuple[Slice, ...]:
    """Its frames in the order of the file, each with what the functional groups say of its plane.

    An element that the plane lacks is missing there too: `geometry.stack` says so by name.

    Raises:
        InputError: If the functional groups do not fit the number of frames, or tell of several
            volumes: stacks or points in time.
    """
    header = instance.header
    declared = int(number(header, "NumberOfFrames") or 1)
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if not groups:
        raise InputError(
            f"{instance.name}: has {declared} frames (NumberOfFrames) without "
            "PerFrameFunctionalGroupsSequence: their places are unknown; "
            "export the series as enhanced or single-frame MR"
        )
    if len(groups) != declared:
        raise InputError(
            f"{instance.name}: declares {declared} frames (NumberOfFrames) and describes "
            f"{len(groups)} (PerFrameFunctionalGroupsSequence); copy it again"
        )
    for keyword, what in _ONE_VALUE.items():
        found = {text(part, keyword) for part in _contents(groups)} - {""}
        if len(found) > 1:
            raise InputError(
                f"{instance.name}: its frames are of {len(found)} {what} ({keyword}), expected "
                "one volume; export one of them alone"
            )
    shared = items(header, "SharedFunctionalGroupsSequence")[:1]
    return tuple(
        Slice(instance, number, _plane(group, shared)) for number, group in enumerate(groups)
    )


def frame_groups(part: Slice) -> tuple[Dataset, ...]:
    """The functional groups of a slice of an enhanced instance: its own, then the shared ones."""
    header = part.instance.header
    own = items(header, "PerFrameFunctionalGroupsSequence")[part.frame]
    return (own, *items(header, "SharedFunctionalGroupsSequence")[:1])


def _contents(groups: list[Dataset]) -> list[Dataset]:
    return [item for group in groups for item in items(group, "FrameContentSequence")[:1]]


def _plane(group: Dataset, shared: list[Dataset]) -> Dataset:
    plane = Dataset()
    for keyword, sequence in _PLANE.items():
        for place in (group, *shared):
            inside = items(place, sequence)[:1]
            if inside and keyword in inside[0]:
                plane.add(inside[0][keyword])
                break
    return plane
