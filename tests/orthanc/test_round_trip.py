"""Real series go to a real archive and come back, and so does what is derived from them."""

import shutil
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.runtime import Translator
from hagan_clinic.volume import Volume, to_axes_of

SERIES = {
    "brainix": "brainix/t1",
    "mprage": "sag_mprage",
    "enhanced": "xa30_enhanced/5_anat-T1w_acq-tfl",
}


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """One series on its way.

    Attributes:
        sent: The files of the source that were pushed.
        fetched: The zip of the source as the archive gave it.
        source: The stack read from it.
        derived: The files of the derived series that were pushed.
        returned: The folder of the derived series as the archive gives it.
        statuses: Of the pushes of both series.
    """

    sent: list[Path]
    fetched: Path
    source: Stack
    derived: list[Path]
    returned: Path
    statuses: set[int]


@pytest.fixture(scope="module")
def translator(toy_generator):
    return Translator(toy_generator, device="cpu", threads=1)


@pytest.fixture(scope="module", params=list(SERIES))
def trip(request, archive, translator, test_data, tmp_path_factory):
    """Source pushed by C-STORE, fetched by REST, translated; the result pushed and fetched."""
    folder = tmp_path_factory.mktemp(request.param)
    sent = sorted((test_data / "dicom" / SERIES[request.param]).rglob("*.dcm"))
    statuses = archive.c_store(sent)
    (series,) = archive.find("Series", SeriesInstanceUID=header(sent[0]).SeriesInstanceUID)
    fetched = archive.download("series", series["ID"], folder / "source.zip")
    derived = translate(translator, fetched, folder / "derived")
    statuses += archive.c_store(derived)
    (series,) = archive.find("Series", SeriesInstanceUID=header(derived[0]).SeriesInstanceUID)
    returned = folder / "returned"
    shutil.unpack_archive(archive.download("series", series["ID"], folder / "out.zip"), returned)
    source = choose(find_series(fetched))
    return RoundTrip(sent, fetched, source, derived, returned, set(statuses))


def translate(translator, path, folder):
    """Translate a series, and give the files of what comes of it."""
    translator.translate(path, folder)
    return sorted(folder.iterdir())


def header(path):
    return pydicom.dcmread(path, stop_before_pixels=True)


def returned_files(trip):
    """The derived instances as they came back, in the order of their numbers."""
    found = [pydicom.dcmread(path) for path in trip.returned.rglob("*") if path.is_file()]
    return sorted(found, key=lambda one: one.InstanceNumber)


def test_the_archive_takes_source_and_result_without_warning(trip):
    assert trip.statuses == {0x0000}


def test_the_source_comes_back_as_it_was(trip):
    there = {}
    for instance in trip.source.series.instances:
        with instance.open() as file:
            there[str(instance.header.SOPInstanceUID)] = pydicom.dcmread(BytesIO(file.read()))
    assert len(there) == len(trip.sent)
    for path in trip.sent:
        sent = pydicom.dcmread(path)
        assert there[sent.SOPInstanceUID].PixelData == sent.PixelData


def test_its_index_has_one_study_of_two_series(trip, archive):
    source = trip.source.series.header
    (study,) = archive.find("Study", StudyInstanceUID=source.StudyInstanceUID)
    assert len(study["Series"]) == 2
    patients = archive.find("Patient", PatientID=source.PatientID)
    assert len(patients) == 1 and study["ID"] in patients[0]["Studies"]
    told = {}
    for identifier in study["Series"]:
        series = archive.get(f"/series/{identifier}")
        tags = series["MainDicomTags"]
        told[tags["SeriesInstanceUID"]] = (tags["Modality"], len(series["Instances"]))
    assert told == {
        source.SeriesInstanceUID: ("MR", len(trip.sent)),
        header(trip.derived[0]).SeriesInstanceUID: ("MR", len(trip.source.slices)),
    }


def test_both_series_are_of_one_patient_study_and_frame_of_reference(trip, archive):
    keywords = ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID")
    study = trip.source.series.header.StudyInstanceUID
    (found,) = archive.find("Study", StudyInstanceUID=study)
    tags = archive.tags("studies", found["ID"], *keywords)
    for keyword, values in tags.items():
        assert len(values) == 1, keyword
    assert tags["FrameOfReferenceUID"] == {trip.source.series.header.FrameOfReferenceUID}


def test_the_index_marks_the_result_as_synthetic(trip, archive):
    uid = header(trip.derived[0]).SeriesInstanceUID
    (series,) = archive.find("Series", SeriesInstanceUID=uid)
    assert series["MainDicomTags"]["SeriesDescription"].startswith("SYNTHETIC FLAIR")
    # Its dictionary of 2022 does not name SyntheticData, so it is asked for by its tag.
    for instance in series["Instances"]:
        told = archive.web.get(f"/instances/{instance}/content/0008-001c").raise_for_status()
        assert told.text.strip() == "YES"


def test_the_result_comes_back_byte_for_byte(trip):
    sent = [pydicom.dcmread(path) for path in trip.derived]
    back = returned_files(trip)
    assert [one.SOPInstanceUID for one in back] == [one.SOPInstanceUID for one in sent]
    for one, other in zip(back, sent, strict=True):
        assert one.file_meta.TransferSyntaxUID == other.file_meta.TransferSyntaxUID
        assert one.PixelData == other.PixelData
        assert one == other


def test_translating_and_sending_again_stores_nothing_new(trip, archive, translator, tmp_path):
    again = translate(translator, trip.fetched, tmp_path / "again")
    assert {archive.upload(path) for path in again} == {"AlreadyStored"}
    study = trip.source.series.header.StudyInstanceUID
    (found,) = archive.find("Study", StudyInstanceUID=study)
    assert len(found["Series"]) == 2


def test_from_the_whole_study_the_scan_is_chosen_and_not_the_result(trip, archive, tmp_path):
    study = trip.source.series.header.StudyInstanceUID
    (found,) = archive.find("Study", StudyInstanceUID=study)
    both = find_series(archive.download("studies", found["ID"], tmp_path / "study.zip"))
    assert len(both.series) == 2 and not both.damaged
    chosen = choose(both)
    assert chosen.series.uid == trip.source.series.uid
    assert chosen.grid.same_as(trip.source.grid, tolerance_mm=0)


def test_dicomweb_takes_the_result_and_finds_it_beside_its_source(trip, dicomweb):
    sent = header(trip.derived[0])
    study = f"/dicom-web/studies/{sent.StudyInstanceUID}"
    (series,) = dicomweb.find("Series", SeriesInstanceUID=sent.SeriesInstanceUID)
    dicomweb.web.delete(f"/series/{series['ID']}").raise_for_status()
    assert series_by_qido(dicomweb, study).keys() == {trip.source.series.uid}
    for _ in range(2):  # the second time all of it is there already
        answer = dicomweb.stow(study, trip.derived)
        assert len(answer["00081199"]["Value"]) == len(trip.derived)  # ReferencedSOPSequence
        assert not answer.get("00081198", {}).get("Value")  # FailedSOPSequence
    found = series_by_qido(dicomweb, study)
    assert found.keys() == {trip.source.series.uid, sent.SeriesInstanceUID}
    assert found[sent.SeriesInstanceUID] == ("MR", sent.SeriesDescription, len(trip.derived))


def series_by_qido(dicomweb, study):
    """Modality, description and number of instances of each series of a study, by its UID."""
    keywords = (
        "SeriesInstanceUID",
        "Modality",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    )
    asked = {"includefield": keywords}
    answer = dicomweb.web.get(f"{study}/series", params=asked).raise_for_status().json()
    found = [pydicom.Dataset.from_json(one) for one in answer]
    return {one.SeriesInstanceUID: tuple(one[key].value for key in keywords[1:]) for one in found}


def test_simpleitk_reads_what_came_back_in_its_sources_place(trip):
    folder = returned_folder(trip)
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert_in_place(Volume(array, np.diag([-1, -1, 1, 1]) @ affine), trip)


def test_highdicom_reads_what_came_back_in_its_sources_place(trip):
    volume = highdicom.image.get_volume_from_series(
        [highdicom.Image.from_dataset(one) for one in returned_files(trip)],
        apply_voi_transform=False,
        apply_real_world_transform=False,
    )
    assert_in_place(Volume(volume.array, np.diag([-1, -1, 1, 1]) @ volume.affine), trip)


def test_dcm2niix_reads_what_came_back_in_its_sources_place(trip, tmp_path):
    dcm2niix = shutil.which("dcm2niix")
    if dcm2niix is None:
        pytest.skip("dcm2niix is not installed")
    command = [dcm2niix, "-z", "n", "-f", "x", "-o", tmp_path, trip.returned]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    (file,) = tmp_path.glob("x*.nii")
    image = nib.load(file)
    assert_in_place(Volume(np.asarray(image.dataobj), image.affine), trip)


def returned_folder(trip):
    (folder,) = {path.parent for path in trip.returned.rglob("*") if path.is_file()}
    return folder


def assert_in_place(volume, trip):
    """The volume is what was sent, on the source's grid."""
    there = to_axes_of(volume, trip.source.grid)
    assert there.grid.same_as(trip.source.grid, tolerance_mm=1e-3)
    sent = [pydicom.dcmread(path).pixel_array.T for path in trip.derived]
    np.testing.assert_array_equal(there.array, np.stack(sent, axis=2))
    assert there.array.std() > 50  # an image, not a blank
