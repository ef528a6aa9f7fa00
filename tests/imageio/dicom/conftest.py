"""Stacks of real and of made-up series, and what is derived from them."""

from dataclasses import replace
from datetime import datetime
from io import BytesIO

import numpy as np
import pydicom
import pytest

from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack as build_stack
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.series import Instance, Series
from hagan_clinic.imageio.dicom.writer import write_series

REAL = {
    "brainix": "brainix/t1",
    "mprage": "sag_mprage",
    "enhanced": "xa30_enhanced/5_anat-T1w_acq-tfl",
    "supine": "decubitus/HFS/3_t1_fl2d_sag",
    "prone": "decubitus/HFP/2_t1_fl2d_sag",
}

NOW = datetime.fromisoformat("2024-03-02T10:20:30+01:00")

DERIVATION = Derivation(
    target="flair",
    content="image",
    software="hagan-clinic",
    version="1.2.3",
    model="t1_to_flair",
    model_sha256="0123456789abcdef" * 4,
    settings="mask none",
    scale="0 and 1 are the 0.5 and 99.5 percentiles of the brain in FLAIR scans",
    licence="CC-BY-NC-SA-4.0",
)


@pytest.fixture
def derivation():
    """An image derived by a model."""
    return DERIVATION


@pytest.fixture
def write(tmp_path):
    """A function that writes a series derived from a stack into a new folder."""
    count = 0

    def written(stack, array=None, now=NOW, derivation=DERIVATION, options=None, **changes):
        nonlocal count
        count += 1
        folder = tmp_path / f"derived{count}"
        folder.mkdir()
        array = values(stack) if array is None else array
        derivation = replace(derivation, **changes)
        return write_series(array, stack, derivation, options or SeriesOptions(), folder, now=now)

    return written


@pytest.fixture
def make_values():
    """The function that gives the values that `write` writes."""
    return values


@pytest.fixture
def make_stack():
    """The function that stacks headers."""
    return stack_of_headers


def values(stack):
    """Noise that tells every voxel from every other, with an empty margin."""
    array = np.random.default_rng(3).random(stack.grid.shape, dtype=np.float32)
    array[:2] = 0
    return array


@pytest.fixture(scope="session", params=list(REAL))
def source(request, test_data):
    """The stack of each real T1 series."""
    return stack_of(test_data / "dicom" / REAL[request.param])


@pytest.fixture(scope="session")
def written(source, tmp_path_factory):
    """The files of the series derived from it, which a test leaves as they are."""
    folder = tmp_path_factory.mktemp("written")
    return write_series(values(source), source, DERIVATION, SeriesOptions(), folder, now=NOW)


@pytest.fixture
def load(test_data):
    """A function that gives the stack of a real series by name."""
    return lambda name: stack_of(test_data / "dicom" / REAL[name])


@pytest.fixture
def stack():
    """A small classic series of an oblique volume, freely changed by a test."""
    return stack_of_headers(make_headers())


@pytest.fixture
def headers():
    """The headers of `stack`, to be changed before they are stacked."""
    return make_headers()


def make_headers():
    return [header(number) for number in range(1, 6)]


def header(number, rows=64, columns=48):
    """A header as scanners write it, of the slice at this place."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = pydicom.uid.MRImageStorage
    dataset.SOPInstanceUID = f"1.2.3.4.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.FrameOfReferenceUID = "1.2.3.5"
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240102", "030405", "1"
    dataset.Modality, dataset.Manufacturer = "MR", "Scanners"
    dataset.SeriesNumber, dataset.InstanceNumber = 7, number
    dataset.PatientPosition = "HFS"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelSpacing = ["0.9", "1.1"]
    dataset.SliceThickness = "2.000"
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "0.8", "-0.6"]
    dataset.ImagePositionPatient = ["-20.50", str(6 + 1.2 * number), str(8 + 1.6 * number)]
    return dataset


def stack_of_headers(headers):
    """The stack of headers."""
    instances = (Instance(f"{i}", BytesIO, header) for i, header in enumerate(headers))
    return build_stack(Series(headers[0].SeriesInstanceUID, tuple(instances)))


def stack_of(folder):
    """The stack of a folder that holds one series."""
    (series,) = find_series(folder).series
    return build_stack(series)
