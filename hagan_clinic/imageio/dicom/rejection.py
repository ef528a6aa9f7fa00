"""Rejection notes: key object selections by which archives hide what is not to be used any more.

IHE's Imaging Object Change Management (IOCM) has them: a Key Object Selection Document (PS3.3
A.35.4) with the title Rejected for Quality Reasons refers to the instances. An archive that knows
the profile hides those; in another one it stands beside them and says what they are.
"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage, MRImageStorage

from hagan_clinic.imageio.dicom.derivation import NOTICE
from hagan_clinic.imageio.dicom.uids import fixed_uid, instance_uid, note_uid

_PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "IssuerOfAccessionNumberSequence"),
)
_EQUIPMENT = (
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "InstitutionName"),
    *("InstitutionCodeSequence", "StationName", "TimezoneOffsetFromUTC", "SpecificCharacterSet"),
)


def rejection_note(like: Dataset, series: str, numbers: Sequence[int], why: str) -> Dataset:
    """A note that rejects instances of a derived series.

    It follows from its arguments alone: made again, it is the same byte for byte.

    Args:
        like: An instance of another derived series of the same study, or of the same one.
        series: Series Instance UID of the rejected instances.
        numbers: InstanceNumber of each.
        why: The reason, for the reader.

    Returns:
        A data set with its file meta information.
    """
    note = Dataset()
    for keyword in (*_PATIENT_AND_STUDY, *_EQUIPMENT):
        if keyword in like:
            note.add(like[keyword])
    uid = note_uid(series, like.SeriesInstanceUID, list(numbers))
    note.SOPClassUID, note.SOPInstanceUID = KeyObjectSelectionDocumentStorage, uid
    note.Modality = "KO"
    note.SeriesInstanceUID = note_uid("series", uid)
    note.SeriesNumber = like.SeriesNumber
    note.SeriesDescription = "Rejection note: SYNTHETIC series superseded or incomplete"
    note.ReferencedPerformedProcedureStepSequence = []
    note.InstanceNumber = 1
    note.ContentDate, note.ContentTime = like.ContentDate, like.ContentTime

    references = [_reference(instance_uid(series, number)) for number in numbers]
    rejected = Dataset()
    rejected.SeriesInstanceUID = series
    rejected.ReferencedSOPSequence = references
    study = Dataset()
    study.StudyInstanceUID = like.StudyInstanceUID
    study.ReferencedSeriesSequence = [rejected]
    note.CurrentRequestedProcedureEvidenceSequence = [study]

    note.ValueType = "CONTAINER"
    note.ConceptNameCodeSequence = [_code("113001", "Rejected for Quality Reasons")]
    note.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    note.ContentTemplateSequence = [template]
    note.ContentSequence = [_text(f"{NOTICE}. {why}"), *map(_image, references)]

    note.file_meta = FileMetaDataset()
    note.file_meta.MediaStorageSOPClassUID = note.SOPClassUID
    note.file_meta.MediaStorageSOPInstanceUID = uid
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    note.file_meta.ImplementationClassUID = fixed_uid("implementation class")
    note.file_meta.ImplementationVersionName = "HAGAN_CLINIC"
    return note


def _reference(uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = MRImageStorage
    reference.ReferencedSOPInstanceUID = uid
    return reference


def _image(reference: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [reference]
    return item


def _text(text: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [_code("113012", "Key Object Description")]
    item.TextValue = text
    return item


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
