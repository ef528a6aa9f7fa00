import shutil
import subprocess
from io import BytesIO
from itertools import chain

import pydicom
import pytest
from pydicom.uid import KeyObjectSelectionDocumentStorage

from hagan_clinic.imageio.dicom.rejection import rejection_note


@pytest.fixture
def results(write, stack):
    """A result, and one that supersedes it."""
    old = [pydicom.dcmread(path) for path in write(stack)]
    new = [pydicom.dcmread(p) for p in write(stack, supersedes=(old[0].SeriesInstanceUID,))]
    return old, new


@pytest.fixture
def note(results):
    old, new = results
    numbers = [one.InstanceNumber for one in old[:3]]
    return rejection_note(new[0], old[0].SeriesInstanceUID, numbers, "Superseded")


def test_it_rejects_these_instances_and_no_others(note, results):
    old, _ = results
    expected = [one.SOPInstanceUID for one in old[:3]]
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == old[0].SeriesInstanceUID
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == expected
    images = [item for item in note.ContentSequence if item.ValueType == "IMAGE"]
    assert [one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in images] == expected
    (title,) = note.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")


def test_it_belongs_to_the_study_and_holds_no_pixels(note, results):
    _, new = results
    assert note.StudyInstanceUID == new[0].StudyInstanceUID
    assert note.PatientID == new[0].PatientID
    assert note.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert note.SeriesInstanceUID not in {one.SeriesInstanceUID for one in chain(*results)}
    assert "PixelData" not in note


def encoded(dataset):
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_made_again_it_is_the_same(note, results):
    old, new = results
    again = rejection_note(new[0], old[0].SeriesInstanceUID, [1, 2, 3], "Superseded")
    assert encoded(again) == encoded(note)
    other = rejection_note(new[0], old[0].SeriesInstanceUID, [1, 2], "Superseded")
    assert other.SOPInstanceUID != note.SOPInstanceUID


def test_dciodvfy_finds_no_error(note, tmp_path):
    dciodvfy = shutil.which("dciodvfy") or pytest.skip("dicom3tools is not installed")
    note.save_as(tmp_path / "note.dcm", enforce_file_format=True)
    done = subprocess.run(
        [dciodvfy, "-new", tmp_path / "note.dcm"], capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    assert "KeyObjectSelectionDocument" in said
    assert not [line for line in said if line.startswith("Error")]


def test_a_result_names_what_it_supersedes(results, stack):
    (old, *_), (new, *_) = results
    assert new.SeriesDescription == "SYNTHETIC FLAIR, VERSION 2, NOT FOR DIAGNOSIS"
    assert new.SeriesNumber == old.SeriesNumber + 100_000
    assert f"supersedes series {old.SeriesInstanceUID}" in new.DerivationDescription
    (related,) = new.RelatedSeriesSequence
    assert related.SeriesInstanceUID == old.SeriesInstanceUID
    assert related.StudyInstanceUID == new.StudyInstanceUID
    assert "RelatedSeriesSequence" not in old
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
