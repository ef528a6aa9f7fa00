"""`translate` on folders, archives and files of many kinds: which series are taken."""

import shutil
import zipfile

import nibabel as nib
from pydicom.fileset import FileSet

from hagan_clinic.imageio.dicom.discovery import find_series


def test_the_t1_is_found_among_other_series_and_files(uids, done, dicom, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(dicom / "brainix", study)
    (study / "readme").write_text("exported")
    done(study, "-o", tmp_path / "out")
    done(dicom / "brainix/t1", "-o", tmp_path / "alone")
    assert uids(tmp_path / "out") == uids(tmp_path / "alone")


def test_a_zip_holds_a_series_too(uids, done, dicom, tmp_path):
    with zipfile.ZipFile(tmp_path / "t1.zip", "w") as archive:
        for path in (dicom / "brainix/t1").iterdir():
            archive.write(path, f"study/{path.name}")
    done(tmp_path / "t1.zip", "-o", tmp_path / "out")
    done(dicom / "brainix/t1", "-o", tmp_path / "alone")
    assert uids(tmp_path / "out") == uids(tmp_path / "alone")


def test_a_dicomdir_leads_to_its_series(uids, done, dicom, tmp_path):
    for path in (dicom / "brainix").rglob("*"):
        if path.is_file():
            place = tmp_path / "cd" / "DICOM" / path.parent.name.upper()
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / f"IM{len(list(place.iterdir())):04}")
    disc = FileSet()
    for path in (tmp_path / "cd").rglob("IM*"):
        disc.add(path)
    disc.write(tmp_path / "disc")
    done(tmp_path / "disc" / "DICOMDIR", "-o", tmp_path / "out")
    done(dicom / "brainix/t1", "-o", tmp_path / "alone")
    assert uids(tmp_path / "out") == uids(tmp_path / "alone")


def test_a_file_called_dicom_is_told_what_it_lacks(run, tmp_path):
    (tmp_path / "scan.dcm").write_text("not DICOM")
    result = run(tmp_path / "scan.dcm", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "is not DICOM" in result.stderr


def test_one_enhanced_file_is_a_series(done, dicom, tmp_path):
    (path,) = [p for p in (dicom / "xa30_enhanced/5_anat-T1w_acq-tfl").rglob("*") if p.is_file()]
    done(path, "-o", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 96


def test_another_series_can_be_asked_for(headers, run, done, dicom, tmp_path):
    study = dicom / "brainix"
    flair = next(s for s in find_series(study).series if "FLAIR" in s.header.SeriesDescription)
    done(study, "-o", tmp_path / "out", "--series", flair.uid)
    source = headers(tmp_path / "out")[0].ReferencedSeriesSequence[0]
    assert source.SeriesInstanceUID == flair.uid
    result = run(study, study, "-o", tmp_path / "none", "--series", flair.uid)
    assert result.exit_code == 2 and "--series goes with one input" in result.stderr
    result = run(study, "-o", tmp_path / "none", "--series", "1.2.3")
    assert (result.exit_code, (tmp_path / "none").exists()) == (3, False)
    assert "there is no series 1.2.3" in result.stderr


def _synthetic(header, number):
    header.add_new(0x0008001C, "CS", "YES")


def test_several_series_give_numbered_results_and_one_refusal_stops_no_other(
    headers, run, series, dicom, tmp_path
):
    sound, faulty = series(), series(_synthetic)
    for folder in (sound, faulty):
        folder.rename(tmp_path / f"patient_{folder.name}")
    scans = [tmp_path / f"patient_{folder.name}" for folder in (faulty, sound)]
    options = ["--preview", tmp_path / "seen", "--report", tmp_path / "seen", "--burn-in"]
    result = run(*scans, dicom / "decubitus/HFS/3_t1_fl2d_sag", "-o", tmp_path / "out", *options)
    assert result.exit_code == 3
    assert "error: input 1: t1: the series cannot be used: is synthetic" in result.stderr
    assert "1 of 3 failed; the exit code 3 is that of input 1" in result.stderr
    assert "patient" not in result.output
    made = [tmp_path / "out" / name for name in ("series002_flair", "series003_flair")]
    assert sorted((tmp_path / "out").iterdir()) == [tmp_path / "out/results.csv", *made]
    assert [len(list(folder.iterdir())) for folder in made] == [22, 35]
    assert headers(made[0])[0].BurnedInAnnotation == "YES"
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        *("series002_flair.png", "series002_flair_report.json"),
        *("series003_flair.png", "series003_flair_report.json"),
    ]


def test_series_and_volume_files_can_be_translated_together(done, dicom, tmp_path):
    done(dicom / "brainix/t1", "-o", tmp_path / "flair.nii.gz")
    (tmp_path / "flair.json").unlink()
    volume = nib.load(tmp_path / "flair.nii.gz")
    nib.save(nib.Nifti1Image(volume.get_fdata(), volume.affine), tmp_path / "t1.nii.gz")
    done(tmp_path / "t1.nii.gz", dicom / "brainix/t1", "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("results.csv", "series002_flair", "t1_flair.json", "t1_flair.nii.gz"),
    ]
