import copy

import numpy as np
import pydicom
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack


@pytest.fixture
def enhanced(test_data):
    """The data set of the real enhanced T1, without its pixels' bytes being right any more."""
    (path,) = (test_data / "dicom" / "xa30_enhanced" / "5_anat-T1w_acq-tfl").iterdir()
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    return dataset


@pytest.fixture
def stacked(save):
    """Save the data set as a series and stack it."""

    def made(dataset):
        (series,) = find_series(save([dataset])).series
        return stack(series)

    return made


def _groups(dataset):
    return dataset.PerFrameFunctionalGroupsSequence


def test_frames_out_of_order_are_ordered_by_position(enhanced, stacked):
    order = np.random.default_rng(5).permutation(len(_groups(enhanced)))
    straight = stacked(enhanced)
    groups = _groups(enhanced)
    enhanced.PerFrameFunctionalGroupsSequence = [groups[index] for index in order]
    shuffled = stacked(enhanced)
    assert shuffled.grid.same_as(straight.grid, 0)
    assert [order[part.frame] for part in shuffled.slices] == [
        part.frame for part in straight.slices
    ]


def test_shared_geometry_is_that_of_every_frame(enhanced, stacked):
    straight = stacked(enhanced)
    shared = enhanced.SharedFunctionalGroupsSequence[0]
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        setattr(shared, keyword, copy.deepcopy(_groups(enhanced)[0][keyword].value))
        for group in _groups(enhanced):
            del group[keyword]
    made = stacked(enhanced)
    assert made.grid.same_as(straight.grid, 0)
    assert made.slices[7].plane.PixelSpacing == [2, 2]


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("TemporalPositionIndex", 2, r"2 points in time \(TemporalPositionIndex\)"),
        ("StackID", "2", r"2 stacks \(StackID\)"),
    ],
)
def test_several_volumes_are_refused(enhanced, stacked, keyword, value, told):
    for group in _groups(enhanced)[48:]:
        setattr(group.FrameContentSequence[0], keyword, value)
    with pytest.raises(InputError, match=f"IM0001: its frames are of {told}"):
        stacked(enhanced)


def test_frames_at_one_place_are_refused_by_their_numbers(enhanced, stacked):
    groups = list(_groups(enhanced))
    groups[48:] = copy.deepcopy(groups[:48])
    enhanced.PerFrameFunctionalGroupsSequence = groups
    told = r"IM0001, frame 48 and IM0001, frame 96: lie at one place.*4D series of 2 volumes"
    with pytest.raises(InputError, match=told):
        stacked(enhanced)


def test_a_missing_frame_is_refused(enhanced, stacked):
    groups = list(_groups(enhanced))
    del groups[10]
    enhanced.PerFrameFunctionalGroupsSequence = groups
    enhanced.NumberOfFrames = 95
    with pytest.raises(InputError, match="frame 11 and IM0001, frame 10: 1 slice is missing"):
        stacked(enhanced)


def test_frames_without_description_are_refused(enhanced, stacked):
    enhanced.NumberOfFrames = 97
    with pytest.raises(InputError, match=r"declares 97 frames .* and describes 96"):
        stacked(enhanced)
    del enhanced.PerFrameFunctionalGroupsSequence
    with pytest.raises(InputError, match="without PerFrameFunctionalGroupsSequence"):
        stacked(enhanced)


@pytest.mark.parametrize(
    ("sequence", "keyword"),
    [
        ("PlanePositionSequence", "ImagePositionPatient"),
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
        ("PixelMeasuresSequence", "PixelSpacing"),
    ],
)
def test_a_frame_without_geometry_is_refused(enhanced, stacked, sequence, keyword):
    del _groups(enhanced)[20][sequence]
    enhanced.SharedFunctionalGroupsSequence[0].pop(sequence, None)
    with pytest.raises(InputError, match=f"IM0001, frame 21: has no {keyword}"):
        stacked(enhanced)
