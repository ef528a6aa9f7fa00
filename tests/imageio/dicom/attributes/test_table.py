"""Every row of the table of attributes, and that careless writers break it.

A naive copy (the source with new UIDs and pixels) passes `dciodvfy`; here it must not.
"""

import tomllib
from copy import deepcopy
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from hagan_clinic.imageio.dicom.attributes import CODING_SCHEME
from hagan_clinic.imageio.dicom.carried import PATIENT_AND_STUDY

NOT_COPIED = tomllib.loads((Path(__file__).parent / "not_copied.toml").read_text("utf-8"))


def naive_copies(sources):
    """The source with new UIDs, new pixels and a word in its description."""
    series = generate_uid()
    copies = []
    for source in sources:
        copy = deepcopy(source)
        copy.SeriesInstanceUID, copy.SOPInstanceUID = series, generate_uid()
        copy.SeriesDescription = f"FLAIR from {source.SeriesDescription}"
        copy.ImageType = ["DERIVED", "SECONDARY"]
        copy.PixelData = bytes(len(source.PixelData))
        copies.append(copy)
    return copies


def bare_captures(sources):
    """Images without a patient, a study or a place, as general image writers make them."""
    study, series = generate_uid(), generate_uid()
    captures = []
    for number, source in enumerate(sources):
        capture = pydicom.Dataset()
        capture.file_meta = FileMetaDataset()
        capture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        capture.SOPClassUID, capture.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
        capture.StudyInstanceUID, capture.SeriesInstanceUID = study, series
        capture.Modality, capture.InstanceNumber = "OT", len(sources) - number
        capture.Rows, capture.Columns = source.Columns, source.Rows
        capture.ImagePositionPatient = [0, 0, number]
        capture.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        capture.PixelSpacing, capture.SliceThickness = [1, 1], 1
        capture.PatientPosition, capture.PatientName = "FFP", ""
        captures.append(capture)
    return captures


def uids_are_new_and_below_2_25(source, derived):
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert derived[keyword].value.startswith("2.25.")
        assert derived[keyword].value != source[keyword].value


def study_is_the_same(source, derived):
    assert derived.StudyInstanceUID == source.StudyInstanceUID
    for keyword in PATIENT_AND_STUDY:
        assert (keyword in derived) == (keyword in source), keyword
        if keyword in source:
            assert derived[keyword].value == source[keyword].value
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "PatientID"):
        assert keyword in derived


def place_is_the_same(source, derived):
    assert derived.FrameOfReferenceUID == source.FrameOfReferenceUID
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        assert strings(derived[keyword]) == strings(source[keyword])
    assert (derived.Rows, derived.Columns) == (source.Rows, source.Columns)
    assert derived.PatientPosition == source.PatientPosition
    assert strings(derived["SliceThickness"]) == strings(source["SliceThickness"])
    assert derived.InstanceNumber == source.InstanceNumber  # in this series, by place


def it_is_an_mr_image_derived_and_not_measured(source, derived):
    assert derived.SOPClassUID == MRImageStorage and derived.Modality == "MR"
    assert derived.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
    assert (derived.ScanningSequence, derived.SequenceVariant) == ("RM", "NONE")
    assert derived.MRAcquisitionType == source.MRAcquisitionType
    assert derived.BodyPartExamined == "BRAIN"


def nothing_acquired_is_told(source, derived):
    for keyword in ("ScanOptions", "EchoTime", "EchoTrainLength", "RepetitionTime"):
        assert keyword in derived and derived[keyword].is_empty
    assert "AcquisitionNumber" in derived and derived["AcquisitionNumber"].is_empty
    for keyword in NOT_COPIED["acquired"]:
        assert not named(derived, keyword), keyword


def pixels_are_sixteen_bits_without_rescale(source, derived):
    assert derived.PhotometricInterpretation == "MONOCHROME2"
    assert (derived.BitsAllocated, derived.BitsStored, derived.HighBit) == (16, 16, 15)
    assert (derived.SamplesPerPixel, derived.PixelRepresentation) == (1, 0)
    for keyword in NOT_COPIED["pixels_of_source"]:
        assert not named(derived, keyword), keyword


def the_equipment_is_this_tool(source, derived):
    assert derived.Manufacturer == "hagan-clinic"
    assert derived.ManufacturerModelName == "t1_to_flair"
    assert derived.SoftwareVersions == "hagan-clinic 1.2.3"
    for keyword in NOT_COPIED["scanner"]:
        assert keyword not in derived, keyword
    for keyword in ("DeviceSerialNumber", "StationName"):
        assert not named(derived, keyword), keyword
    assert "scanner 5" not in str(derived)


def it_says_that_it_is_synthetic(source, derived):
    assert derived.SyntheticData == "YES"
    assert derived.ContentQualification == "RESEARCH"
    assert derived.SeriesDescription.startswith("SYNTHETIC")
    assert derived.SeriesNumber >= 90000
    for keyword in ("SeriesDescription", "DerivationDescription", "ImageComments"):
        assert "SYNTHETIC" in derived[keyword].value
        assert "NOT FOR DIAGNOSIS" in derived[keyword].value
    assert derived.SpecificCharacterSet == "ISO_IR 192"


def what_contributed_is_named(source, derived):
    tool, scanner = derived.ContributingEquipmentSequence
    assert code(tool.PurposeOfReferenceCodeSequence[0]) == codes.DCM.SynthesizingEquipment
    assert (tool.Manufacturer, tool.ManufacturerModelName) == ("hagan-clinic", "t1_to_flair")
    assert set(tool.SoftwareVersions) == {"hagan-clinic 1.2.3", "0123456789abcdef" * 4}
    assert code(scanner.PurposeOfReferenceCodeSequence[0]) == codes.DCM.AcquisitionEquipment
    assert scanner.Manufacturer == source.Manufacturer
    assert scanner.ManufacturerModelName == source.ManufacturerModelName


def the_derivation_is_told(source, derived):
    text = derived.DerivationDescription
    assert "Stored value / 4095 = value from 0 to 1: 0 and 1 are the 0.5 and 99.5" in text
    assert "0123456789abcdef" * 4 in text and "mask none" in text and "CC-BY-NC-SA" in text
    (item,) = derived.DerivationCodeSequence
    assert item.CodingSchemeDesignator == CODING_SCHEME and item.CodeMeaning
    assert CODING_SCHEME.startswith("99")
    scheme = derived.CodingSchemeIdentificationSequence[0]
    assert scheme.CodingSchemeDesignator == CODING_SCHEME
    assert scheme.CodingSchemeResponsibleOrganization


def its_source_is_referenced(source, derived):
    (image,) = derived.SourceImageSequence
    assert image.ReferencedSOPClassUID == source.SOPClassUID
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    assert code(image.PurposeOfReferenceCodeSequence[0]) == purpose
    (series,) = derived.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    (instance,) = series.ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == source.SOPInstanceUID


def the_times_are_those_of_its_making(source, derived):
    for name in ("Content", "Series", "InstanceCreation"):
        assert (derived[f"{name}Date"].value, derived[f"{name}Time"].value) == (
            *("20240302", "102030"),
        )
    assert derived.TimezoneOffsetFromUTC == "+0100"


def it_has_a_window_and_says_what_was_burnt_in(source, derived):
    assert 0 < derived.WindowCenter < 4095 and derived.WindowCenter != source.WindowCenter
    assert 1 <= derived.WindowWidth <= 4096 and derived.WindowWidth != source.WindowWidth
    assert derived.BurnedInAnnotation == "NO"


def nothing_private_or_signed_is_copied(source, derived):
    assert not [e for e in derived.iterall() if e.tag.is_private]
    assert not [e for e in derived.iterall() if 0x6000 <= e.tag.group <= 0x60FF]
    for keyword in NOT_COPIED["others"]:
        assert not named(derived, keyword), keyword
    assert "SourceApplicationEntityTitle" not in derived.file_meta


ROWS = (
    uids_are_new_and_below_2_25,
    study_is_the_same,
    place_is_the_same,
    it_is_an_mr_image_derived_and_not_measured,
    nothing_acquired_is_told,
    pixels_are_sixteen_bits_without_rescale,
    the_equipment_is_this_tool,
    it_says_that_it_is_synthetic,
    what_contributed_is_named,
    the_derivation_is_told,
    its_source_is_referenced,
    the_times_are_those_of_its_making,
    it_has_a_window_and_says_what_was_burnt_in,
    nothing_private_or_signed_is_copied,
)


# A copy does keep these; what forgets them is another writer.
KEPT_BY_A_COPY = (study_is_the_same, place_is_the_same)


def holds(row, sources, derived):
    try:
        for source, instance in zip(sources, derived, strict=True):
            row(source, instance)
    except (AssertionError, AttributeError, KeyError):
        return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_table_holds(row, sources, derived):
    for source, instance in zip(sources, derived, strict=True):
        row(source, instance)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_a_naive_copy_breaks_the_table(row, sources):
    assert holds(row, sources, naive_copies(sources)) == (row in KEPT_BY_A_COPY)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_a_bare_capture_breaks_the_table(row, sources):
    kept = (nothing_private_or_signed_is_copied,)
    assert holds(row, sources, bare_captures(sources)) == (row in kept)


def test_every_single_stale_element_breaks_the_table(sources, derived):
    assert all(holds(row, sources, derived) for row in ROWS)
    instance = derived[0]
    for element in sources[0]:
        kept = instance.get(element.tag)
        if element == kept or element.keyword == "PixelData":
            continue
        instance[element.tag] = element
        broken = [row for row in ROWS if not holds(row, sources[:1], [instance])]
        assert broken, element.keyword
        if kept is None:
            del instance[element.tag]
        else:
            instance[element.tag] = kept
    assert all(holds(row, sources, derived) for row in ROWS)


OF_ANY_SOURCE = (
    uids_are_new_and_below_2_25,
    nothing_acquired_is_told,
    pixels_are_sixteen_bits_without_rescale,
    it_says_that_it_is_synthetic,
    nothing_private_or_signed_is_copied,
)


def test_the_table_holds_for_real_series(written, source):
    for part, path in zip(source.slices, written, strict=True):
        derived = pydicom.dcmread(path)
        for row in OF_ANY_SOURCE:
            row(part.instance.header, derived)


def test_no_other_value_of_a_real_source_shows_in_what_is_derived(written, source):
    with source.slices[0].instance.open() as file:
        scan = pydicom.dcmread(file, stop_before_pixels=True)
    derived = pydicom.dcmread(written[0])
    said = {value for element in derived.iterall() for value in texts(element)}
    kept = {*PATIENT_AND_STUDY, "Manufacturer", "ManufacturerModelName", "InstitutionName"}
    kept |= {*("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"), "SOPClassUID"}
    kept |= {*("SliceThickness", "PatientPosition", "FrameOfReferenceUID"), "SOPInstanceUID"}
    kept |= {*("SeriesInstanceUID", "TimezoneOffsetFromUTC", "MRAcquisitionType", "Modality")}
    kept.add("PhotometricInterpretation")  # MONOCHROME2 in all
    copied = {
        value
        for element in scan.iterall()
        if element.keyword in kept
        for nested in (element.value if element.VR == "SQ" else [[element]])
        for one in nested
        for value in texts(one)
    }
    left = {v for e in scan.iterall() if not e.tag.is_private for v in texts(e)} - copied
    left = {value for value in left if len(value) > 5}
    assert len(left) > 15  # dates, UIDs, names of sequences, coils, software, ...
    assert not left & said


def texts(element):
    """The parts of a value, as text; numbers of few digits are anybody's."""
    if element.VR in ("SQ", "OB", "OW", "UN"):
        return []
    values = element.value if element.VM > 1 else [element.value]
    return [str(value) for value in values]


def strings(element):
    """The decimal strings of an element, as they stand in its file."""
    values = element.value if element.VM > 1 else [element.value]
    return [value.original_string for value in values]


def named(dataset, keyword):
    """Elements of this name, in sequences too, but for those that say what contributed."""
    top = [e for e in dataset if e.keyword == keyword]
    nested = [
        e
        for s in dataset
        if s.VR == "SQ" and s.keyword != "ContributingEquipmentSequence"
        for item in s.value
        for e in item.iterall()
        if e.keyword == keyword
    ]
    return top + nested


def code(item):
    return pydicom.sr.coding.Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
