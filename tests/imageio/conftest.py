"""A small oblique MR series, for tests that need to change one thing in it."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROWS, COLUMNS, SLICES, STEP = 6, 8, 9, 1.5

# A patient whom no output may name.
PATIENT = {"PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19700102"}


def direction(degrees):
    """Row, column and normal direction of an axial plane turned about the first axis."""
    angle = np.radians(degrees)
    column = np.array([0, np.cos(angle), np.sin(angle)])
    row = np.array([1.0, 0, 0])
    return row, column, np.cross(row, column)


def draft(count=SLICES, uid="1.2.3", **elements):
    """The data sets of a T1 series of `count` slices, 1.5 mm apart, 20 degrees oblique."""
    row, column, normal = direction(20)
    datasets = []
    for place in range(count):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = MRImageStorage
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{place + 1}"
        one.StudyInstanceUID, one.SeriesInstanceUID = "1.2", uid
        one.FrameOfReferenceUID = "1.2.9"
        one.update(PATIENT)
        one.Modality, one.SeriesNumber, one.InstanceNumber = "MR", 3, place + 1
        one.SeriesDescription = "t1_mprage_sag"
        one.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        one.ScanningSequence, one.MRAcquisitionType = "GR", "3D"
        one.RepetitionTime, one.EchoTime, one.InversionTime = 2000, 2.5, 900
        one.Rows, one.Columns, one.PixelSpacing = ROWS, COLUMNS, [0.9, 1.1]
        position = np.array([-4.0, 5.0, -30.0]) + place * STEP * normal
        one.ImagePositionPatient = [f"{value:.8f}" for value in position]
        one.ImageOrientationPatient = [f"{value:.10f}" for value in (*row, *column)]
        one.SliceThickness, one.SliceLocation = STEP, f"{place * STEP:.4f}"
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        pixels = np.full((ROWS, COLUMNS), place, np.uint16)
        one.PixelData = pixels.tobytes()
        one["PixelData"].VR = "OW"
        for keyword, value in elements.items():
            setattr(one, keyword, value)
        datasets.append(one)
    return datasets


@pytest.fixture
def make_draft():
    """The function `draft`."""
    return draft


@pytest.fixture
def save(tmp_path):
    """A function that writes data sets into a folder, named by their order, and returns it."""

    def saved(datasets, name="series"):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(datasets, 1):
            one.save_as(folder / f"IM{number:04d}", enforce_file_format=True)
        return folder

    return saved
