"""No patient data in what is printed, reported or named: only in the DICOM that is made."""

import gzip
import shutil

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image

from hagan_clinic.cli import main

MARK = "ZQXWVK"
"""Part of every made-up value, and of no word that the tool uses."""

PATIENT = {
    "PatientName": f"{MARK}^Name",
    "PatientID": f"{MARK}1",
    "OtherPatientIDs": f"{MARK}2",
    "PatientBirthDate": "18871231",
    "PatientAddress": f"{MARK} street",
    "PatientComments": f"{MARK} comment",
    "EthnicGroup": f"{MARK}",
    "AccessionNumber": f"{MARK}3",
    "StudyID": f"{MARK}4",
    "StudyDescription": f"{MARK} study",
    "InstitutionName": f"{MARK} hospital",
    "ReferringPhysicianName": f"{MARK}^Physician",
    "OperatorsName": f"{MARK}^Operator",
    "RequestAttributesSequence": [],
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.887766554433",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.887766554434",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.887766554435",
}
SECRETS = (MARK, "18871231", "887766554433", "887766554434", "887766554435")


def _plain(header, number):
    pass


def _synthetic(header, number):
    header.add_new(0x0008001C, "CS", "YES")


def _contrast(header, number):
    header.ContrastBolusAgent = "Gadovist"


def _localizer(header, number):
    header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _tilted(header, number):
    x, y, z = header.ImagePositionPatient
    header.ImagePositionPatient = [x, y + 2 * number, z]


def _placeless(header, number):
    del header.ImagePositionPatient


def _other_patient(header, number):
    if number > 11:
        header.PatientID = f"{MARK}5"


def _short(header, number):
    header.PixelData = header.PixelData[: len(header.PixelData) // 2]


def _bad_numbers(header, number):
    header.PixelSpacing = ["0", "0"]


def _bad_dates(header, number):
    header.StudyDate = "18871231x"
    header.PatientBirthDate = "18871231x"


CHANGES = {
    change.__name__.strip("_"): change
    for change in (
        *(_plain, _synthetic, _contrast, _localizer, _tilted, _placeless, _other_patient),
        *(_short, _bad_numbers, _bad_dates),
    )
}


@pytest.fixture(params=list(CHANGES))
def series(request, test_data, tmp_path):
    """A real series with a made-up patient, sound or with one fault."""
    folder = tmp_path / "in"
    shutil.copytree(test_data / "dicom" / "brainix" / "t1", folder)
    with pydicom.config.disable_value_validation():
        for number, path in enumerate(sorted(folder.iterdir()), start=1):
            header = pydicom.dcmread(path)
            for keyword, value in PATIENT.items():
                setattr(header, keyword, value)
            header.add_new(0x00091001, "LO", f"{MARK} private")
            CHANGES[request.param](header, number)
            header.save_as(path)
    return folder


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


def test_patient_data_is_in_the_dicom_alone(series, toy_generator, tmp_path, capfd, caplog):
    options = ["--model", toy_generator, "--device", "cpu", "--debug"]
    for output, extras in (
        ("out", {"uncertainty": "unsure", "preview": "p.png", "report": "r.json"}),
        ("flair.nii.gz", {"uncertainty": "unsure.nii.gz"}),
    ):
        arguments = [series, "-o", tmp_path / output, *options]
        for option, name in extras.items():
            arguments += [f"--{option}", tmp_path / name]
        result = CliRunner().invoke(main, ["translate", *map(str, arguments)])
        assert result.exit_code in (0, 3), result.output
        assert not leaks(result.output)
    captured = capfd.readouterr()
    assert not leaks(captured.out + captured.err + caplog.text)
    for path in tmp_path.rglob("*"):
        made = path.relative_to(tmp_path)
        if made.parts[0] == "in":
            continue
        assert not leaks(str(made))
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            assert not leaks(content.decode("latin-1"))
            if path.suffix == ".png":
                assert not leaks(str(Image.open(path).info))
    if result.exit_code == 0:
        written = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
        assert MARK in str(written.PatientName)  # where it belongs
        assert not [element for element in written.iterall() if element.tag.is_private]
        assert np.ptp(written.pixel_array) > 0


def test_inspect_tells_no_patient(series):
    result = CliRunner().invoke(main, ["inspect", str(series), "--json"])
    told = result.output.replace(PATIENT["SeriesInstanceUID"], "")  # what --series is given
    assert not leaks(told)
