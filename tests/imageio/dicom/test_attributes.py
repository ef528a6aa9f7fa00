"""Every row of the table of attributes, and that careless writers break it.

A naive copy (the source with new UIDs and pixels) passes `dciodvfy`; here it must not.
"""

import json
import pkgutil
from copy import deepcopy

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    generate_uid,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.attributes import CODING_SCHEME
from hagan_clinic.imageio.dicom.carried import PATIENT_AND_STUDY
from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.options import SeriesOptions

ACQUIRED = (
    *("InversionTime", "FlipAngle", "VariableFlipAngleFlag", "PixelBandwidth", "SAR", "dBdt"),
    *("B1rms", "SequenceName", "ProtocolName", "ReceiveCoilName", "TransmitCoilName"),
    *("NumberOfAverages", "ImagingFrequency", "ImagedNucleus", "EchoNumbers"),
    *("MagneticFieldStrength", "NumberOfPhaseEncodingSteps", "PercentSampling"),
    *("PercentPhaseFieldOfView", "AcquisitionMatrix", "InPlanePhaseEncodingDirection", "AngioFlag"),
    *("TriggerTime", "HeartRate", "TemporalPositionIdentifier", "NumberOfTemporalPositions"),
    *("ReconstructionDiameter", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("AcquisitionUID", "AcquisitionDuration", "ContrastBolusAgent"),
)
SCANNER = ("DeviceSerialNumber", "StationName", "GantryID", "DeviceUID", "InstitutionName")
PIXELS_OF_SOURCE = (
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "VOILUTSequence", "VOILUTFunction"),
    *("WindowCenterWidthExplanation", "ModalityLUTSequence", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "SmallestImagePixelValue", "LargestImagePixelValue"),
    *("SmallestPixelValueInSeries", "LargestPixelValueInSeries", "IconImageSequence"),
    *("PixelAspectRatio", "RealWorldValueMappingSequence"),
)
OTHERS = (
    *("DigitalSignaturesSequence", "MACParametersSequence", "EncryptedAttributesSequence"),
    *("OriginalAttributesSequence", "ReferencedPerformedProcedureStepSequence"),
    *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
    *("PerformedProcedureStepEndDate", "PerformedProcedureStepID"),
    *("PerformedProcedureStepDescription", "PerformedProtocolCodeSequence"),
    *("RequestAttributesSequence", "ReferencedImageSequence", "SourceApplicationEntityTitle"),
    *("PerformingPhysicianName", "OperatorsName"),
)


def scanned(number, headers):
    """A source instance with all that must not be copied, and pixels."""
    dataset = deepcopy(headers[number])
    image = pydicom.Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = MRImageStorage, "1.2.9"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.ScanningSequence, dataset.SequenceVariant = "GR", ["SP", "MP"]
    dataset.ScanOptions, dataset.MRAcquisitionType = "PFP", "3D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = "2000", "2.5", "1"
    dataset.AcquisitionNumber, dataset.SeriesDescription = 1, "T1 MPRAGE"
    dataset.SoftwareVersions = "scanner 5"
    dataset.WindowCenter, dataset.WindowWidth = "500", "1000"
    dataset.BodyPartExamined = "HEAD"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", "Roe^Richard"
    dataset.PositionReferenceIndicator = ""
    dataset.ManufacturerModelName = "Scanner 3T"
    for keyword in ACQUIRED + SCANNER + PIXELS_OF_SOURCE + OTHERS:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        vr = pydicom.datadict.dictionary_VR(tag)
        if tag >> 16 == 2:
            continue
        value = {
            "SQ": [image],
            "DA": "20240102",
            "TM": "101112",
            "DT": "20240102101112",
            "UI": "1.2.77",
            "LT": "x",
        }.get(vr)
        if value is None:
            value = [0, 64, 64, 0] if keyword == "AcquisitionMatrix" else 7
            value = value if vr in ("US", "US or SS", "FD", "FL", "OB") else str(value)
        if vr == "OB":
            value = b"1"
        dataset.add_new(tag, "US" if vr == "US or SS" else vr, value)
    dataset.PixelAspectRatio = [1, 1]
    dataset.add_new(0x60000010, "US", 64)
    dataset.add_new(0x60000040, "CS", "G")
    block = dataset.private_block(0x0029, "SCANNER", create=True)
    block.add_new(0x10, "OB", b"private")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.ContentDate, dataset.ContentTime = "20240102", "111111"
    dataset.file_meta.SourceApplicationEntityTitle = "SCANNER"
    dataset.PixelData = bytes(2 * dataset.Rows * dataset.Columns)
    return dataset


@pytest.fixture
def sources(headers):
    """Instances as a scanner stores them, in the order of their places."""
    return [scanned(number, headers) for number in range(len(headers))]


@pytest.fixture
def stack(sources, make_stack):
    return make_stack(sources)


@pytest.fixture
def derived(stack, write):
    """The series of this package, read back."""
    return [pydicom.dcmread(path) for path in write(stack)]


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
    for keyword in ACQUIRED:
        assert not named(derived, keyword), keyword


def pixels_are_sixteen_bits_without_rescale(source, derived):
    assert derived.PhotometricInterpretation == "MONOCHROME2"
    assert (derived.BitsAllocated, derived.BitsStored, derived.HighBit) == (16, 16, 15)
    assert (derived.SamplesPerPixel, derived.PixelRepresentation) == (1, 0)
    for keyword in PIXELS_OF_SOURCE:
        assert not named(derived, keyword), keyword


def the_equipment_is_this_tool(source, derived):
    assert derived.Manufacturer == "hagan-clinic"
    assert derived.ManufacturerModelName == "t1_to_flair"
    assert derived.SoftwareVersions == "hagan-clinic 1.2.3"
    for keyword in SCANNER:
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
    for keyword in OTHERS:
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


def test_all_that_is_written_belongs_to_mr_images(derived):
    written = {e.keyword for e in derived[0]} - {"PixelData"}
    assert written <= set(attributes_of(iod_modules("mr-image"))) | {"InstitutionCodeSequence"}


def test_the_iod_misses_nothing(derived):
    types = attributes_of(iod_modules("mr-image", usage="M"))
    for keyword, kind in types.items():
        if kind in ("1", "2"):
            assert keyword in derived[0], keyword
        if kind == "1":
            assert not derived[0][keyword].is_empty, keyword


def test_patient_and_study_are_copied_whole():
    modules = ("patient", "clinical-trial-subject", "general-study", "patient-study")
    named_there = set(attributes_of((*modules, "clinical-trial-study")))
    assert named_there <= set(PATIENT_AND_STUDY)
    assert set(PATIENT_AND_STUDY) - named_there == {"EthnicGroup", "OtherPatientIDs"}


@pytest.mark.parametrize("content", ["image", "uncertainty"])
@pytest.mark.parametrize("target", ["flair", "a target of a name much longer than usual " * 2])
@pytest.mark.parametrize("wanted", ["", "Kopf nativ", "x" * 64])
def test_a_description_fits_and_begins_with_synthetic(derivation, content, target, wanted):
    changed = Derivation(**{**vars(derivation), "content": content, "target": target})
    text = changed.series_description(wanted)
    assert text.startswith("SYNTHETIC ") and len(text) <= 64
    assert wanted[:40] in text
    assert wanted or "NOT FOR DIAGNOSIS" in text
    assert ("UNCERTAINTY" in text) == (content == "uncertainty")


def test_long_facts_are_cut_to_what_elements_hold(write, stack):
    long = "long \\ " * 300
    changes = {"settings": long, "licence": long, "model": long, "scale": long, "target": long}
    dataset = pydicom.dcmread(write(stack, **changes)[0])
    assert len(dataset.DerivationDescription) == 1024
    assert dataset.DerivationDescription.endswith("…")
    tool = dataset.ContributingEquipmentSequence[0]
    assert len(tool.ContributionDescription) <= 1024
    assert dataset.ManufacturerModelName == tool.ManufacturerModelName
    assert len(tool.ManufacturerModelName) <= 64 and len(dataset.SeriesDescription) <= 64
    assert "NOT FOR DIAGNOSIS" in dataset.SeriesDescription


NAMES = {
    "ISO_IR 100": "Müller^Jérôme",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 192": "王^小东",
    "GB18030": "Wang^XiaoDong=王^小东",
    "ISO_IR 166": "ประยุทธ์^จันทร์",
    "ISO_IR 203": "Œuvrard^Zoë",
    "ISO 2022 IR 6\\ISO 2022 IR 203": "Œuvrard^Zoë",
    "ISO IR 192": "Œuvrard^Zoë",  # misspelt, and common
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


@pytest.mark.parametrize("charset", NAMES)
def test_names_keep_their_letters_in_utf_8(charset, sources, make_stack, write, tmp_path):
    name = NAMES[charset]
    alphabetic = name.split("=")[-1].replace("^", " ")
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", alphabetic
    read = []
    for number, source in enumerate(sources):
        source.SpecificCharacterSet = charset.split("\\")
        source.PatientName, source.OtherPatientNames = name, [name, name]
        source.StudyDescription, source.ProcedureCodeSequence = alphabetic, [item]
        source.Manufacturer = alphabetic
        source.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
        read.append(pydicom.dcmread(tmp_path / f"{number}.dcm"))
        assert read[-1].PatientName == name  # else the test would test nothing
    for path in write(make_stack(read)):
        assert name.encode() in path.read_bytes()
        derived = pydicom.dcmread(path)
        assert derived.SpecificCharacterSet == "ISO_IR 192"
        assert str(derived.PatientName) == name
        assert [str(n) for n in derived.OtherPatientNames] == [name, name]
        assert derived.StudyDescription == alphabetic
        assert derived.ProcedureCodeSequence[0].CodeMeaning == alphabetic
        assert derived.ContributingEquipmentSequence[1].Manufacturer == alphabetic


@pytest.mark.parametrize(
    ("charset", "name", "told"),
    [
        ("ISO_IR 999", "Müller".encode("latin-1"), "is in the character set 'ISO_IR 999', which"),
        ("ISO_IR 192", "Müller".encode("latin-1"), "has bytes that are not of its character set"),
        ("ISO_IR 166", b"M\xfcller\xff", "has bytes that are not of its character set"),
    ],
)
def test_text_that_cannot_be_decoded_is_refused_and_not_changed(
    charset, name, told, sources, make_stack, write, tmp_path, recwarn
):
    read = [_with_bytes(source, charset, name, tmp_path) for source in sources]
    with pytest.raises(InputError, match=f"the source's PatientName {told}"):
        write(make_stack(read))


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 999", b"Miller"), ("ISO_IR 192", "M\ufffdller".encode())]
)
def test_text_that_reads_the_same_in_any_character_set_is_carried(
    charset, name, sources, make_stack, write, tmp_path, recwarn
):
    read = [_with_bytes(source, charset, name, tmp_path) for source in sources]
    derived = pydicom.dcmread(write(make_stack(read))[0])
    assert str(derived.PatientName).encode() == name


def _with_bytes(source, charset, name, folder):
    """The source read from a file with a name of these bytes, whatever its character set."""
    source.SpecificCharacterSet, source.PatientName = "ISO_IR 100", "N" * (len(name) + 1)
    path = folder / f"{source.InstanceNumber}.dcm"
    source.save_as(path, enforce_file_format=True)
    content = path.read_bytes().replace(b"ISO_IR 100", charset.encode())
    written = name.ljust(len(name) + 1)
    path.write_bytes(content.replace(b"N" * len(written), written))
    return pydicom.dcmread(path)


def test_an_item_with_its_own_character_set_becomes_utf_8(sources, make_stack, write, tmp_path):
    item = pydicom.Dataset()
    item.SpecificCharacterSet = "ISO_IR 144"
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "мозг"
    item.private_block(0x0029, "SCANNER", create=True).add_new(0x10, "LO", "private")
    sources[0].SpecificCharacterSet = "ISO_IR 100"
    sources[0].ProcedureCodeSequence = [item]
    sources[0].save_as(tmp_path / "0.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "0.dcm")
    derived = pydicom.dcmread(write(make_stack([read, *sources[1:]]))[0])
    assert derived.ProcedureCodeSequence[0].CodeMeaning == "мозг"
    assert "SpecificCharacterSet" not in derived.ProcedureCodeSequence[0]
    assert not [e for e in derived.iterall() if e.tag.is_private]


def test_an_empty_name_stays_empty(sources, make_stack, write):
    for source in sources:
        source.PatientName, source.OtherPatientNames = None, None
        del source.ReferringPhysicianName
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert derived["PatientName"].is_empty and derived["ReferringPhysicianName"].is_empty


def test_a_sex_that_is_no_enumerated_value_is_left_empty(sources, make_stack, write):
    sources[0].add_new("PatientSex", "CS", "0000")
    assert pydicom.dcmread(write(make_stack(sources))[0])["PatientSex"].is_empty


def test_what_the_source_lacks_is_empty_or_absent(sources, make_stack, write):
    for source in sources:
        for keyword in ("SliceThickness", "PatientPosition", "MRAcquisitionType", "Manufacturer"):
            del source[keyword]
        del source.PositionReferenceIndicator, source.FrameOfReferenceUID, source.SeriesNumber
        del source.AccessionNumber, source.StudyID
    derived = [pydicom.dcmread(path) for path in write(make_stack(sources))]
    for keyword in ("SliceThickness", "PatientPosition", "MRAcquisitionType", "AccessionNumber"):
        assert derived[0][keyword].is_empty
    assert derived[0]["PositionReferenceIndicator"].is_empty
    assert len(derived[0].ContributingEquipmentSequence) == 1
    assert derived[0].SeriesNumber == 90000
    again = [pydicom.dcmread(path) for path in write(make_stack(sources), content="uncertainty")]
    assert {d.FrameOfReferenceUID for d in derived} == {d.FrameOfReferenceUID for d in again}
    assert derived[0].FrameOfReferenceUID.startswith("2.25.")


def test_a_source_without_a_study_is_refused(sources, make_stack, write):
    for source in sources:
        del source.StudyInstanceUID
    with pytest.raises(InputError, match=r"no Study Instance UID \(0020,000D\)"):
        write(make_stack(sources))


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [("-0800", "20240302", "012030"), ("+0530", "20240302", "145030"), ("nonsense", None, None)],
)
def test_times_are_in_the_zone_that_the_source_tells(
    offset, date, time, sources, make_stack, write
):
    # The offset holds for every time of a data set, the study's among them.
    sources[0].add_new("TimezoneOffsetFromUTC", "SH", offset)
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    if date:
        assert (derived.ContentDate, derived.ContentTime) == (date, time)
        assert derived.TimezoneOffsetFromUTC == offset
    else:
        assert len(derived.TimezoneOffsetFromUTC) == 5
    assert derived.StudyTime == sources[0].StudyTime


def test_lossy_compression_is_carried_forward(sources, make_stack, write):
    assert "LossyImageCompression" not in pydicom.dcmread(write(make_stack(sources))[0])
    for source in sources:
        source.LossyImageCompression = "00"
    assert pydicom.dcmread(write(make_stack(sources))[0]).LossyImageCompression == "00"
    # The network sees all slices, so one that lost detail taints all.
    sources[3].LossyImageCompression = "01"
    sources[3].LossyImageCompressionRatio = ["5.2", "3"]
    sources[3].LossyImageCompressionMethod = ["ISO_10918_1", "ISO_15444_1"]
    for path in write(make_stack(sources)):
        derived = pydicom.dcmread(path)
        assert derived.LossyImageCompression == "01"
        assert derived.LossyImageCompressionRatio == [5.2, 3]
        assert derived.LossyImageCompressionMethod == ["ISO_10918_1", "ISO_15444_1"]


@pytest.mark.parametrize(
    ("syntax", "flag", "method"),
    [(JPEGBaseline8Bit, None, "ISO_10918_1"), (JPEG2000, "01", "ISO_15444_1")],
)
def test_lossy_transfer_syntaxes_count_as_lossy(syntax, flag, method, sources, make_stack, write):
    for source in sources:
        source.file_meta.TransferSyntaxUID = syntax
        if flag:
            source.LossyImageCompression = flag
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert derived.LossyImageCompression == "01"
    assert derived.LossyImageCompressionMethod == method
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_lossy_high_throughput_jpeg_2000_is_named(sources, make_stack, write):
    for source in sources:
        source.file_meta.TransferSyntaxUID = HTJ2K
        source.LossyImageCompression = "01"
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert derived.LossyImageCompressionMethod == "ISO_15444_15"


def damaged(source, keyword, vr, value):
    """Put an element as it may stand in a file, not as pydicom would have it."""
    tag = pydicom.tag.Tag(keyword)
    source._dict[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)


@pytest.mark.parametrize("keyword", ["PatientSize", "PatientWeight"])
def test_what_is_no_value_of_its_kind_is_left_out(keyword, sources, make_stack, write):
    damaged(sources[0], keyword, "DS", b"1,78")
    damaged(sources[0], "SeriesNumber", "IS", b"1\\2\\3 ")
    damaged(sources[0], "LossyImageCompressionRatio", "DS", b"10:1")
    sources[0].LossyImageCompression = "01"
    for path in write(make_stack(sources)):
        derived = pydicom.dcmread(path)
        assert keyword not in derived and "LossyImageCompressionRatio" not in derived
        assert derived.LossyImageCompression == "01"
        assert derived.SeriesNumber == 90001


@pytest.mark.parametrize(("vr", "value"), [("US", b"4711"), ("ZZ", b"4711"), ("FD", b"47")])
@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "StudyDate"])
def test_a_study_that_cannot_be_told_is_refused(keyword, vr, value, sources, make_stack, write):
    for source in sources:
        damaged(source, keyword, vr, value)
    with pytest.raises(InputError, match=f"the source has a damaged {keyword}; correct"):
        write(make_stack(sources))


def test_text_under_the_name_of_other_text_is_taken(sources, make_stack, write):
    damaged(sources[0], "AccessionNumber", "LO", b"A123")
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert (derived["AccessionNumber"].VR, derived.AccessionNumber) == ("SH", "A123")


@pytest.mark.parametrize(
    "keyword",
    [
        *("Manufacturer", "TimezoneOffsetFromUTC", "MRAcquisitionType", "FrameOfReferenceUID"),
        *("BurnedInAnnotation", "LossyImageCompression", "SeriesNumber", "PatientComments"),
    ],
)
def test_an_element_of_no_kind_is_no_crash(keyword, headers, make_stack, write):
    for header in headers:
        damaged(header, keyword, "ZZ", b"nonsense")
    assert pydicom.dcmread(write(make_stack(headers))[0]).SyntheticData == "YES"


def test_annotation_of_the_source_may_show_in_what_is_derived(sources, make_stack, write):
    sources[4].BurnedInAnnotation = "YES"
    assert pydicom.dcmread(write(make_stack(sources))[0]).BurnedInAnnotation == "YES"


def test_the_site_names_itself(write, stack):
    options = SeriesOptions(
        description="FLAIR (KI)",
        number=4711,
        institution_name="Klinikum Süd",
        institution_code="1^99KS^Klinikum Süd",
        department="Neuroradiologie",
        station_name="GPU1",
        manufacturer="Klinikum",
    )
    image = pydicom.dcmread(write(stack, options=options)[0])
    assert image.SeriesDescription == "SYNTHETIC FLAIR (KI)"
    assert image.SeriesNumber == 4711
    assert image.InstitutionName == "Klinikum Süd"
    assert image.InstitutionCodeSequence[0].CodeMeaning == "Klinikum Süd"
    assert image.InstitutionalDepartmentName == "Neuroradiologie"
    assert (image.StationName, image.Manufacturer) == ("GPU1", "Klinikum")
    uncertainty = pydicom.dcmread(write(stack, options=options, content="uncertainty")[0])
    assert uncertainty.SeriesNumber == 4712


@pytest.mark.filterwarnings("ignore:The value length")
def test_decimal_strings_of_any_form_stay_as_they_are(sources, make_stack, write, tmp_path):
    written = ["-020.50", "+7.2", "9.600000000000000001"]  # longer than DS may be
    sources[0].ImagePositionPatient = ["1", "2", "3"]
    sources[0].save_as(tmp_path / "0.dcm", enforce_file_format=True)
    content = (tmp_path / "0.dcm").read_bytes()
    value = "\\".join(written).encode()
    value += b" " * (len(value) % 2)
    old = b" \x00\x32\x00DS\x06\x001\\2\\3 "
    assert content.count(old) == 1
    new = b" \x00\x32\x00DS" + len(value).to_bytes(2, "little") + value
    (tmp_path / "0.dcm").write_bytes(content.replace(old, new))
    read = pydicom.dcmread(tmp_path / "0.dcm")
    path = write(make_stack([read, *sources[1:]]))[0]
    assert new in path.read_bytes()


def test_an_enhanced_source_is_referenced_by_frame(load, write):
    stack = load("enhanced")
    derived = [pydicom.dcmread(path) for path in write(stack)]
    header = stack.series.header
    frames = [d.SourceImageSequence[0].ReferencedFrameNumber for d in derived]
    assert sorted(frames) == list(range(1, 97))
    assert {d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in derived} == {
        header.SOPInstanceUID
    }
    assert {d.SOPClassUID for d in derived} == {MRImageStorage}
    assert not any("FunctionalGroups" in e.keyword for e in derived[0])
    for name in ("NumberOfFrames", "DimensionIndexSequence", "PulseSequenceName"):
        assert name not in derived[0]


def test_only_mr_images_are_claimed(derived):
    assert derived[0].SOPClassUID != CTImageStorage
    assert derived[0].file_meta.MediaStorageSOPClassUID == derived[0].SOPClassUID
    assert derived[0].file_meta.MediaStorageSOPInstanceUID == derived[0].SOPInstanceUID


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


def iod_modules(iod, usage=None):
    table = json.loads(pkgutil.get_data("highdicom", "_standard/iod_module_map.json"))
    return [m["key"] for m in table[iod] if usage in (None, m["usage"])]


def attributes_of(modules):
    """Type of each top-level attribute of the modules, by the standard's tables."""
    table = json.loads(pkgutil.get_data("highdicom", "_standard/module_attribute_map.json"))
    types = {}
    for module in modules:
        for row in table[module]:
            if not row["path"]:
                types[row["keyword"]] = min(row["type"], types.get(row["keyword"], "9"))
    return types


def test_the_oracle_knows_types():
    types = attributes_of(["mr-image"])
    assert types["ScanningSequence"] == "1" and types["EchoTime"] == "2"
    assert np.isin(list(types.values()), ["1", "1C", "2", "2C", "3"]).all()
