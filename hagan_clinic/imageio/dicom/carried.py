"""What a derived series takes over from its source.

Copies hold text decoded, to be encoded anew as UTF-8, and numbers as the strings they were.
"""

from collections.abc import Iterable
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.character_sets import refuse_undecoded, unknown_set
from hagan_clinic.imageio.dicom.values import text

# Type 2: there even when empty.
_REQUIRED_OF_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)

PATIENT_AND_STUDY = (
    *_REQUIRED_OF_STUDY,
    # Patient (C.7.1.1), with the retired EthnicGroup and OtherPatientIDs
    *("ReferencedPatientSequence", "IssuerOfPatientID", "TypeOfPatientID"),
    *("IssuerOfPatientIDQualifiersSequence", "SourcePatientGroupIdentificationSequence"),
    *("GroupOfPatientsIdentificationSequence", "PatientBirthTime"),
    *("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar"),
    *("PatientAlternativeCalendar", "QualityControlSubject", "StrainDescription"),
    *("StrainNomenclature", "StrainStockSequence", "StrainAdditionalInformation"),
    *("StrainCodeSequence", "GeneticModificationsSequence", "OtherPatientNames"),
    *("OtherPatientIDs", "OtherPatientIDsSequence", "ReferencedPatientPhotoSequence"),
    *("EthnicGroup", "EthnicGroupCodeSequence", "PatientSpeciesDescription"),
    *("PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence"),
    *("BreedRegistrationSequence", "ResponsiblePerson", "ResponsiblePersonRole"),
    *("ResponsibleOrganization", "PatientComments", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    # Clinical Trial Subject (C.7.1.3)
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName"),
    *("IssuerOfClinicalTrialProtocolID", "OtherClinicalTrialProtocolIDsSequence"),
    *("ClinicalTrialSiteID", "ClinicalTrialSiteName", "IssuerOfClinicalTrialSiteID"),
    *("ClinicalTrialSubjectID", "IssuerOfClinicalTrialSubjectID"),
    *("ClinicalTrialSubjectReadingID", "IssuerOfClinicalTrialSubjectReadingID"),
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
    # General Study (C.7.2.1)
    *("StudyInstanceUID", "IssuerOfAccessionNumberSequence"),
    *("ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName"),
    *("ConsultingPhysicianIdentificationSequence", "StudyDescription"),
    *("ProcedureCodeSequence", "PhysiciansOfRecord"),
    *("PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy"),
    *("PhysiciansReadingStudyIdentificationSequence", "ReferencedStudySequence"),
    *("RequestingService", "RequestingServiceCodeSequence"),
    "ReasonForPerformedProcedureCodeSequence",
    # Patient Study (C.7.2.2)
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge"),
    *("PatientSize", "PatientSizeCodeSequence", "PatientBodyMassIndex", "MeasuredAPDimension"),
    *("MeasuredLateralDimension", "PatientWeight", "MedicalAlerts", "Allergies", "Occupation"),
    *("SmokingStatus", "AdditionalPatientHistory", "PregnancyStatus", "LastMenstrualDate"),
    *("PatientSexNeutered", "ReasonForVisit", "ReasonForVisitCodeSequence", "AdmissionID"),
    *("IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "ServiceEpisodeDescription"),
    *("IssuerOfServiceEpisodeIDSequence", "PatientState"),
    # Clinical Trial Study (C.7.2.3)
    *("ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription"),
    *("LongitudinalTemporalOffsetFromEvent", "LongitudinalTemporalEventType"),
    *("ClinicalTrialTimePointTypeCodeSequence", "IssuerOfClinicalTrialTimePointID"),
    "ConsentForClinicalTrialUseSequence",
)
"""Copied from the source: who was scanned, and in which study."""

PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
"""Copied from a slice's plane with the same decimal strings (C.7.6.2)."""

# Pixels in these went through lossy compression, whether or not the header says so (PS3.5 8.2).
_LOSSY_METHODS = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
}


def add_patient_and_study(series: Dataset, header: Dataset) -> None:
    """Add who was scanned, and in which study.

    Raises:
        InputError: The source has no Study Instance UID.
    """
    copy(series, header, PATIENT_AND_STUDY)
    missing = [keyword for keyword in _REQUIRED_OF_STUDY if keyword not in series]
    copy(series, header, missing, required=True)
    if not series.get("StudyInstanceUID"):
        raise InputError(
            "the source has no Study Instance UID (0020,000D), so nothing derived from it could "
            "be filed beside it; export the series again"
        )
    if series.PatientSex not in ("M", "F", "O", "", None):
        series.PatientSex = None  # an archive may refuse what is no enumerated value


def add_lossy(series: Dataset, headers: list[Dataset]) -> None:
    """Carry lossy compression forward: once lost, always lost (C.7.6.1.1.5)."""
    for header in headers:
        syntax = UID(text(header.file_meta, "TransferSyntaxUID"))
        if text(header, "LossyImageCompression") != "01" and syntax not in _LOSSY_METHODS:
            continue
        series.LossyImageCompression = "01"
        copy(series, header, ("LossyImageCompressionRatio", "LossyImageCompressionMethod"))
        method = {**_LOSSY_METHODS, JPEG2000: "ISO_15444_1", HTJ2K: "ISO_15444_15"}.get(syntax)
        if "LossyImageCompressionMethod" not in series and method:
            series.LossyImageCompressionMethod = method
        return
    if all(text(header, "LossyImageCompression") == "00" for header in headers):
        series.LossyImageCompression = "00"


def copy(target: Dataset, source: Dataset, keywords: Iterable[str], required: bool = False) -> None:
    """Copy those elements that the source has; those `required` are empty where it has none.

    One whose value is none of its kind, such as a size of `1,78`, is left out.

    Raises:
        InputError: One that is `required` is there and cannot be read, or text is not of its
            character set.
    """
    unknown = unknown_set(source)
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        element = _copied(source, tag, unknown) if keyword in source else None
        if element is not None:
            target.add(element)
        elif required and keyword in source:
            raise InputError(f"the source has a damaged {keyword}; correct its header")
        elif required:
            target.add(DataElement(keyword, dictionary_VR(keyword), None))


def _copied(source: Dataset, tag: Any, unknown: str) -> DataElement | None:
    """An element of its own, with text decoded: it is encoded again, as UTF-8.

    Private elements, character sets and signatures inside sequences do not come along.
    """
    raw = source.get_item(tag)
    try:
        element = source[tag]
        value: Any = element.value
        if element.VR == "SQ":
            value = [_copied_item(item, unknown) for item in value]
        refuse_undecoded(element, raw, unknown)
        vr = dictionary_VR(element.tag)
        if element.VR in vr:  # one of several there may be
            vr = element.VR
        elif not isinstance(value, str):
            return None
        # As it stands in the source, even where that breaks a rule.
        return DataElement(element.tag, vr, value, validation_mode=config.IGNORE)
    except (MemoryError, InputError):
        raise
    except Exception:  # whatever pydicom makes of a malformed value
        return None


def _copied_item(item: Dataset, unknown: str) -> Dataset:
    unknown = unknown_set(item) if "SpecificCharacterSet" in item else unknown
    result = Dataset()
    for tag in item.keys():  # noqa: SIM118 the values parse
        if tag.is_private or keyword_for_tag(tag) in (
            *("SpecificCharacterSet", "MACParametersSequence", "DigitalSignaturesSequence"),
            *("EncryptedAttributesSequence", "OriginalAttributesSequence"),
        ):
            continue
        element = _copied(item, tag, unknown)
        if element is not None:
            result.add(element)
    return result
