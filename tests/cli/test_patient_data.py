"""No patient data in what is printed, reported or named: only in the DICOM that is made."""

import gzip
import shutil
import zipfile

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


UID = PATIENT["SeriesInstanceUID"]


def _plain(folder, header):
    pass


def _synthetic(folder, header):
    header.add_new(0x0008001C, "CS", "YES")


def _contrast(folder, header):
    header.ContrastBolusAgent = f"{MARK} 7 ml"


def _localizer(folder, header):
    header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _tilted(folder, header):
    x, y, z = header.ImagePositionPatient
    header.ImagePositionPatient = [x, y + 2 * header.InstanceNumber, z]


def _placeless(folder, header):
    del header.ImagePositionPatient


def _other_patient(folder, header):
    if header.InstanceNumber > 11:
        header.PatientID = f"{MARK}5"


def _other_frame(folder, header):
    if header.InstanceNumber > 11:
        header.FrameOfReferenceUID += "1"


def _other_series(folder, header):
    if header.InstanceNumber > 11:
        header.SeriesInstanceUID += "1"


def _same_instance(folder, header):
    header.SOPInstanceUID = UID


def _short(folder, header):
    header.PixelData = header.PixelData[: len(header.PixelData) // 2]


def _bad_numbers(folder, header):
    header.PixelSpacing = ["0", "0"]


def _bad_dates(folder, header):
    header.StudyDate = header.PatientBirthDate = "18871231x"


def _bad_weight(folder, header):
    header.PatientWeight = "18871231"  # becomes no number below


def _gap(folder):
    names(folder)[9].unlink()


def _cut(folder):
    with names(folder)[9].open("r+b") as file:
        file.truncate(9000)


def _not_dicom(folder):
    names(folder)[9].write_text(f"{MARK} is not DICOM")


def _a_copy(folder):
    shutil.copy(names(folder)[9], folder / f"{MARK}.dcm")


def _closed(folder):
    link = folder / f"{MARK}_link.dcm"
    link.symlink_to(folder / f"{MARK}_nowhere")


HEADERS = (
    *(_plain, _synthetic, _contrast, _localizer, _tilted, _placeless, _other_patient),
    *(_other_frame, _other_series, _same_instance, _short, _bad_numbers, _bad_dates, _bad_weight),
)
FILES = (_gap, _cut, _not_dicom, _a_copy, _closed)
CHANGES = {change.__name__.strip("_"): change for change in (*HEADERS, *FILES)}


def names(folder):
    return sorted(folder.iterdir())


@pytest.fixture(params=list(CHANGES))
def series(request, test_data, tmp_path):
    """A real series with a made-up patient, also in its names, sound or with one fault."""
    folder = tmp_path / "in" / f"{MARK}_Name" / UID
    shutil.copytree(test_data / "dicom" / "brainix" / "t1", folder)
    change = CHANGES[request.param]
    with pydicom.config.disable_value_validation():
        for path in names(folder):
            header = pydicom.dcmread(path)
            for keyword, value in PATIENT.items():
                setattr(header, keyword, value)
            header.add_new(0x00091001, "LO", f"{MARK} private")
            if change in HEADERS:
                change(folder, header)
            path.unlink()
            header.save_as(folder / f"{MARK}_{UID}_{path.name}")
    if change is _bad_weight:
        for path in names(folder):
            content = path.read_bytes().replace(b"DS\x08\x0018871231", b"DS\x08\x00" + b"ZQXWVK x")
            path.write_bytes(content)
    if change in FILES:
        change(folder)
    return folder


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


def test_patient_data_is_in_the_dicom_alone(
    series, toy_generator, tmp_path, capfd, caplog, recwarn
):
    made = tmp_path / "made"
    made.mkdir()
    places = {"folder": series, "above": tmp_path / "in", "zip": tmp_path / f"{MARK}.zip"}
    with zipfile.ZipFile(places["zip"], "w") as archive:
        for path in names(series):
            if path.exists():
                archive.write(path, f"{MARK}/{path.name}")
    extras = ("uncertainty", "preview", "report")
    calls = {
        "folder": [made / "out", made / "unsure", made / "p.png", made / "r.json"],
        "above": [made / "flair.nii.gz", made / "u.nii.gz"],
        "zip": [made / "zipped"],
    }
    codes = []
    for kind, (output, *others) in calls.items():
        arguments = [places[kind], "-o", output, "--model", toy_generator, "--device", "cpu"]
        for option, path in zip(extras, others, strict=False):
            arguments += [f"--{option}", path]
        result = CliRunner().invoke(main, ["translate", *map(str, arguments), "--debug"])
        assert result.exit_code in (0, 3), result.output
        assert not leaks(result.output), kind
        codes.append(result.exit_code)
    both = [series, places["zip"], "-o", made / "both", "--report", made / "both", "--debug"]
    result = CliRunner().invoke(
        main, ["translate", *map(str, [*both, "--model", toy_generator, "--device", "cpu"])]
    )
    assert not leaks(result.output)
    captured = capfd.readouterr()
    assert not leaks(captured.out + captured.err + caplog.text)
    assert not leaks(str([str(warning.message) for warning in recwarn]))
    for path in made.rglob("*"):
        assert not leaks(str(path.relative_to(tmp_path)))
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            assert not leaks(content.decode("latin-1"))
            if path.suffix == ".png":
                assert not leaks(str(Image.open(path).info))
    if codes[0] == 0:
        written = pydicom.dcmread(made / "out" / "0001.dcm")
        assert MARK in str(written.PatientName)  # where it belongs
        assert not [element for element in written.iterall() if element.tag.is_private]
        assert np.ptp(written.pixel_array) > 0


def test_inspect_tells_no_patient(series):
    result = CliRunner().invoke(main, ["inspect", str(series), "--json"])
    told = result.output.replace(UID, "")  # what --series is given
    assert not leaks(told)
