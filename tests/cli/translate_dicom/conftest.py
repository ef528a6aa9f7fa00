"""Real DICOM series, the command on them, and what its series hold."""

import shutil

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main


@pytest.fixture
def dicom(test_data):
    return test_data / "dicom"


@pytest.fixture
def run(toy_generator):
    """`hagan-clinic translate` with the toy model on the CPU."""

    def call(*arguments):
        options = ["--model", str(toy_generator), "--device", "cpu", "--threads", "1"]
        return CliRunner().invoke(main, ["translate", *map(str, arguments), *options])

    return call


@pytest.fixture
def done(run):
    """The same, which has to end well."""

    def call(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return call


@pytest.fixture
def headers():
    """A function that reads the files of a folder."""
    return lambda folder: [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.fixture
def pixels(headers):
    """A function that gives the values of a series in a folder, slice by slice."""
    return lambda folder: np.stack([header.pixel_array for header in headers(folder)])


@pytest.fixture
def uids(headers):
    """A function that gives the UIDs of the instances in a folder."""
    return lambda folder: [header.SOPInstanceUID for header in headers(folder)]


@pytest.fixture
def series(dicom, tmp_path):
    """A copy of BRAINIX's T1 series, its headers changed by a function if there is one."""

    def copied(change=None):
        folder = tmp_path / f"series{len(list(tmp_path.iterdir()))}"
        shutil.copytree(dicom / "brainix/t1", folder)
        for number, path in enumerate(sorted(folder.iterdir()), start=1):
            if change is not None:
                header = pydicom.dcmread(path)
                change(header, number)
                header.save_as(path)
        return folder

    return copied
