"""Which study lies where in a tree of files."""

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    generate_uid,
)

from hagan_clinic.imageio.dicom.studies import find_studies


@pytest.fixture
def instance(tmp_path):
    """A function that writes a file of a study."""

    def write(name, patient, study, syntax=ExplicitVRLittleEndian, kind=MRImageStorage):
        header = Dataset()
        header.SOPClassUID, header.SOPInstanceUID = kind, generate_uid()
        header.PatientID, header.StudyInstanceUID = patient, study
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = syntax
        header.file_meta.MediaStorageSOPClassUID = kind
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)
        return path

    return write


def _found(root):
    return [
        (one.patient, one.uid, str(one.folder.relative_to(root)), one.is_alone)
        for one in find_studies(root)
    ]


def test_a_study_lies_in_the_smallest_folder_that_holds_it(instance, tmp_path):
    instance("a/x/1", "A", "1.1"), instance("a/y/1", "A", "1.1", DeflatedExplicitVRLittleEndian)
    instance("b/1", "B", "1.2"), instance("b/deeper/1", "B", "1.3")
    instance("DICOMDIR", "", "", kind=MediaStorageDirectoryStorage)
    (tmp_path / "readme.txt").write_text("no DICOM")
    assert _found(tmp_path) == [
        ("A", "1.1", "a", True),
        ("B", "1.2", "b", False),
        ("B", "1.3", "b/deeper", True),
    ]


def test_files_that_cannot_be_read_are_of_the_study_around_them_or_one_of_their_own(
    instance, tmp_path
):
    for name in ("a/2", "c/1"):
        file = instance(name, "A", "1.1")
        file.write_bytes(file.read_bytes()[:140])
    instance("a/1", "A", "1.1")
    assert _found(tmp_path) == [
        ("A", "1.1", "a", True),
        ("", str(tmp_path / "c"), "c", True),
    ]


def test_one_uid_of_two_patients_is_two_studies(instance, tmp_path):
    instance("1", "A", "1.1"), instance("2", "B", "1.1")
    assert [one[0] for one in _found(tmp_path)] == ["A", "B"]
    assert not any(one[3] for one in _found(tmp_path))
