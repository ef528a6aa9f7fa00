import io

import numpy as np
import pydicom
import pytest

from hagan_clinic.imageio.dicom.completeness import cut_end, missing_by_number, missing_by_vendor
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.series import Instance, Series

CUTS = np.linspace(0.08, 0.88, 20)
"""Parts of a series that a sender may have sent before a pause."""


@pytest.fixture
def scans(test_data):
    """Real series by their folder, in the order of their InstanceNumber."""

    def ordered(folder):
        (series,) = find_series(test_data / "dicom" / folder).series
        return sorted(series.instances, key=lambda one: one.header.InstanceNumber)

    return ordered


def series_of(instances):
    return Series("1.2.3", tuple(instances))


@pytest.mark.parametrize(
    "folder",
    ["sag_mprage", "decubitus/HFP/2_t1_fl2d_sag", "decubitus/HFS/3_t1_fl2d_sag", "brainix/t1"],
)
def test_a_real_whole_series_is_whole(scans, folder):
    series = series_of(scans(folder))
    assert missing_by_number(series) == missing_by_vendor(series) == ""
    assert cut_end(stack(series)) == ""


@pytest.mark.parametrize("backwards", [False, True])
def test_a_half_sent_head_ends_within_it_wherever_it_was_cut(scans, backwards):
    instances = scans("sag_mprage")[:: -1 if backwards else 1]
    for part in CUTS[::4]:
        reason = cut_end(stack(series_of(instances[: round(part * len(instances))])))
        assert "end is cut off" in reason, part


def test_thin_slices_of_an_untold_kind_count_as_3d(scans):
    instances = scans("sag_mprage")[: round(0.84 * 192)]  # the last shows a third of the largest
    for one in instances:
        del one.header.MRAcquisitionType
    assert "end is cut off" in cut_end(stack(series_of(instances)))
    for one in instances:
        one.header.MRAcquisitionType = "2D"
    assert cut_end(stack(series_of(instances))) == ""


def test_the_protocol_of_siemens_tells_of_every_slice_that_is_missing(scans):
    instances = scans("sag_mprage")
    for part in [*CUTS, 0.995]:
        count = round(part * len(instances))
        reason = missing_by_vendor(series_of(instances[:count]))
        assert reason == f"{count} of 192 images are here, as the protocol of Siemens says"


def test_a_slab_in_the_middle_of_a_head_is_no_cut_head(scans):
    assert cut_end(stack(series_of(scans("sag_mprage")[80:110]))) == ""


def instances_with(count, **attributes):
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return series_of([Instance(str(n), io.BytesIO, header) for n in range(count)])


@pytest.mark.parametrize(
    ("attribute", "groups"),
    [
        ("NumberOfSeriesRelatedInstances", {}),
        ("ImagesInAcquisition", {"AcquisitionNumber": 1}),
        ("InConcatenationTotalNumber", {"ConcatenationUID": "1.2"}),
    ],
)
def test_told_numbers_are_waited_for(attribute, groups):
    told = {attribute: 4, **groups}
    assert missing_by_number(instances_with(3, **told)) == (
        f"3 of 4 images are here, as {attribute} says"
    )
    assert missing_by_number(instances_with(4, **told)) == ""


def test_images_in_an_acquisition_are_frames_and_parts_of_a_concatenation_are_instances():
    told = {"ImagesInAcquisition": 40, "AcquisitionNumber": 1, "NumberOfFrames": 20}
    assert missing_by_number(instances_with(2, **told)) == ""
    assert missing_by_number(instances_with(1, **told)) == (
        "20 of 40 images are here, as ImagesInAcquisition says"
    )
    parts = {"InConcatenationTotalNumber": 4, "ConcatenationUID": "1.2", "NumberOfFrames": 20}
    assert missing_by_number(instances_with(3, **parts)) == (
        "3 of 4 images are here, as InConcatenationTotalNumber says"
    )


def test_a_reformat_may_tell_of_the_images_it_was_made_of():
    derived = {"ImagesInAcquisition": 200, "ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]}
    assert missing_by_number(instances_with(30, **derived)) == ""
