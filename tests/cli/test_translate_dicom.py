"""`translate` on real DICOM series: what comes out, where it lies, and what is refused."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.fileset import FileSet

from hagan_clinic.cli import main
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack as build_stack


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


def headers(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def pixels(folder):
    return np.stack([header.pixel_array for header in headers(folder)])


def uids(folder):
    return [header.SOPInstanceUID for header in headers(folder)]


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


def test_a_series_gives_a_series_on_its_own_planes(t1_series, done, tmp_path):
    done(t1_series, "-o", tmp_path / "out")
    (found,) = find_series(t1_series).series
    (derived,) = find_series(tmp_path / "out").series
    before, after = build_stack(found), build_stack(derived)
    assert len(list((tmp_path / "out").iterdir())) == len(before.slices) == len(after.slices)
    for origin, made in zip(before.slices, after.slices, strict=True):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            there, here = origin.plane[keyword].value, made.plane[keyword].value
            assert [v.original_string for v in here] == [v.original_string for v in there]
    header = derived.header
    assert header.SyntheticData == "YES" and header.SeriesDescription.startswith("SYNTHETIC")
    assert header.SOPClassUID == pydicom.uid.MRImageStorage  # of an enhanced source too
    assert header.StudyInstanceUID == found.header.StudyInstanceUID
    assert header.FrameOfReferenceUID == found.header.FrameOfReferenceUID


def test_a_series_and_a_volume_file_hold_the_same_values(done, dicom, tmp_path):
    for output in ("out", "flair.nii.gz"):
        done(dicom / "brainix/t1", "-o", tmp_path / output)
    volume = nib.load(tmp_path / "flair.nii.gz")
    stored = pixels(tmp_path / "out").T
    assert stored.std() > 100
    np.testing.assert_array_equal(stored, np.rint(volume.get_fdata(dtype=np.float32) * 4095))
    subprocess.run(
        ["dcm2niix", "-z", "n", "-f", "series", "-o", tmp_path, tmp_path / "out"],
        check=True, capture_output=True,
    )  # fmt: skip
    oracle = nib.as_closest_canonical(nib.load(tmp_path / "series.nii"))
    ours = nib.as_closest_canonical(volume)
    np.testing.assert_allclose(ours.affine, oracle.affine, atol=1e-3)
    values = np.rint(ours.get_fdata(dtype=np.float32) * 4095)
    np.testing.assert_array_equal(values, oracle.get_fdata())


def test_the_same_translation_is_the_same_series(done, dicom, tmp_path):
    source = dicom / "brainix/t1"
    for folder in ("one", "two"):
        done(source, "-o", tmp_path / folder)
    assert uids(tmp_path / "one") == uids(tmp_path / "two")
    np.testing.assert_array_equal(pixels(tmp_path / "one"), pixels(tmp_path / "two"))


def test_what_changes_the_result_changes_the_uids(done, series, toy_generator, tmp_path):
    source = series()
    (found,) = find_series(source).series
    grid = build_stack(found).grid
    mask = np.zeros(grid.shape, np.uint8)
    mask[100:400, 100:400, 4:18] = 1
    nib.save(nib.Nifti1Image(mask, grid.affine), tmp_path / "mask.nii.gz")
    mask[150:] = 0
    nib.save(nib.Nifti1Image(mask, grid.affine), tmp_path / "other.nii.gz")
    done(source, "-o", tmp_path / "plain")
    done(source, "-o", tmp_path / "burnt", "--burn-in")
    done(source, "-o", tmp_path / "masked", "--mask", tmp_path / "mask.nii.gz")
    done(source, "-o", tmp_path / "other", "--mask", tmp_path / "other.nii.gz")
    kinds = ("plain", "burnt", "masked", "other")
    assert len({uids(tmp_path / kind)[0] for kind in kinds}) == len(kinds)
    assert "no brain mask" in headers(tmp_path / "plain")[0].DerivationDescription
    assert "brain mask of sha256" in headers(tmp_path / "masked")[0].DerivationDescription
    burnt, plain = pixels(tmp_path / "burnt"), pixels(tmp_path / "plain")
    assert (burnt[:, :40] == 4095).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(burnt[:, 256:], plain[:, 256:])


def test_a_converted_mask_with_other_axes_is_the_same_mask(done, dicom, tmp_path):
    source = dicom / "brainix/t1"
    (found,) = find_series(source).series
    grid = build_stack(found).grid
    mask = np.zeros(grid.shape, np.uint8)
    mask[100:400, 100:400, 4:18] = 1
    image = nib.Nifti1Image(mask, grid.affine)
    nib.save(image, tmp_path / "mask.nii.gz")
    nib.save(nib.as_closest_canonical(image), tmp_path / "turned.nii.gz")
    for name in ("mask", "turned"):
        done(source, "-o", tmp_path / name, "--mask", tmp_path / f"{name}.nii.gz")
    np.testing.assert_array_equal(pixels(tmp_path / "mask"), pixels(tmp_path / "turned"))


def test_the_t1_is_found_among_other_series_and_files(done, dicom, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(dicom / "brainix", study)
    (study / "readme").write_text("exported")
    done(study, "-o", tmp_path / "out")
    done(dicom / "brainix/t1", "-o", tmp_path / "alone")
    assert uids(tmp_path / "out") == uids(tmp_path / "alone")


def test_a_zip_holds_a_series_too(done, dicom, tmp_path):
    with zipfile.ZipFile(tmp_path / "t1.zip", "w") as archive:
        for path in (dicom / "brainix/t1").iterdir():
            archive.write(path, f"study/{path.name}")
    done(tmp_path / "t1.zip", "-o", tmp_path / "out")
    done(dicom / "brainix/t1", "-o", tmp_path / "alone")
    assert uids(tmp_path / "out") == uids(tmp_path / "alone")


def test_a_dicomdir_leads_to_its_series(done, dicom, tmp_path):
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


def test_another_series_can_be_asked_for(run, done, dicom, tmp_path):
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


def test_a_file_converted_from_a_series_gives_a_series_like_it(run, done, dicom, tmp_path):
    source = dicom / "brainix/t1"
    subprocess.run(
        ["dcm2niix", "-z", "y", "-f", "t1", "-o", tmp_path, source],
        check=True, capture_output=True,
    )  # fmt: skip
    done(tmp_path / "t1.nii.gz", "-o", tmp_path / "out", "--dicom-like", source)
    done(source, "-o", tmp_path / "direct")
    made, direct = pixels(tmp_path / "out"), pixels(tmp_path / "direct")
    assert np.abs(made.astype(int) - direct).max() <= 1
    assert uids(tmp_path / "out") != uids(tmp_path / "direct")  # of another file
    # A volume file beside the series stays on the scan's own grid.
    like = [tmp_path / "t1.nii.gz", "--dicom-like", source, "--overwrite"]
    done(*like, "-o", tmp_path / "out", "--uncertainty", tmp_path / "unsure.nii.gz")
    scan, unsure = (nib.load(tmp_path / name) for name in ("t1.nii.gz", "unsure.nii.gz"))
    np.testing.assert_array_equal(scan.affine, unsure.affine)
    result = run(*like, "-o", tmp_path / "flair.nii.gz")
    assert result.exit_code == 6 and "--dicom-like is for a DICOM series" in result.stderr
    result = run(
        tmp_path / "t1.nii.gz", "-o", tmp_path / "none", "--dicom-like", dicom / "sag_mprage"
    )
    assert (result.exit_code, (tmp_path / "none").exists()) == (3, False)
    assert "does not lie on the grid of the series" in result.stderr


def test_the_uncertainty_map_is_a_series_of_its_own(done, dicom, tmp_path):
    done(dicom / "brainix/t1", "-o", tmp_path / "out", "--uncertainty", tmp_path / "unsure")
    image, unsure = headers(tmp_path / "out")[0], headers(tmp_path / "unsure")[0]
    assert unsure.SeriesDescription.startswith("SYNTHETIC UNCERTAINTY")
    assert unsure.SeriesInstanceUID != image.SeriesInstanceUID
    assert unsure.SeriesNumber != image.SeriesNumber
    assert unsure.StudyInstanceUID == image.StudyInstanceUID
    assert "half-width of the 90 % interval" in unsure.DerivationDescription


def test_options_and_their_file_show_in_the_headers(run, done, dicom, tmp_path):
    (tmp_path / "site.toml").write_text('department = "Radiology"\nseries-number = 7\n')
    source = dicom / "brainix/t1"
    result = run(source, "-o", tmp_path / "out", "--dicom-config", tmp_path / "site.toml")
    assert result.exit_code == 3 and "series_number" in result.stderr
    (tmp_path / "site.toml").write_text('department = "Radiology"\nnumber = 7\n')
    chosen = ["--series-description", "head", "--series-number", "8", "--station-name", "node1"]
    done(source, "-o", tmp_path / "out", "--dicom-config", tmp_path / "site.toml", *chosen)
    header = headers(tmp_path / "out")[0]
    assert header.SeriesDescription == "SYNTHETIC head"
    assert (header.SeriesNumber, header.StationName) == (8, "node1")
    assert header.InstitutionalDepartmentName == "Radiology"


def test_options_of_a_series_need_one_to_be_written(run, dicom, tmp_path):
    result = run(dicom / "brainix/t1", "-o", tmp_path / "flair.nii.gz", "--burn-in")
    assert result.exit_code == 2
    assert "--burn-in go with a DICOM series as the output" in result.stderr


def test_a_series_that_exists_is_replaced_whole_or_not_at_all(run, done, dicom, tmp_path):
    source, out = dicom / "brainix/t1", tmp_path / "out"
    out.mkdir()
    done(source, "-o", out)  # an empty folder is fine
    for stale in range(23, 30):
        shutil.copy(out / "0001.dcm", out / f"{stale:04}.dcm")
    result = run(source, "-o", out)
    assert result.exit_code == 6 and "is not empty" in result.stderr
    done(source, "-o", out, "--overwrite")
    assert len(list(out.iterdir())) == 22
    (out / "notes.txt").write_text("mine")
    result = run(source, "-o", out, "--overwrite")
    assert result.exit_code == 6 and "holds notes.txt besides .dcm files" in result.stderr
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("place", [".", "derived", ".."])
def test_an_output_in_the_source_or_around_it_is_refused(run, series, place):
    source = series()
    before = sorted(source.rglob("*"))
    result = run(source, "-o", source / place, "--overwrite")
    assert result.exit_code == 6, result.output
    assert sorted(source.rglob("*")) == before


def test_a_full_disk_leaves_nothing(run, dicom, small_disk):
    result = run(dicom / "brainix/t1", "-o", small_disk / "out")
    assert result.exit_code == 6
    assert "the disk is full" in result.stderr or "No space left" in result.stderr
    assert list(small_disk.iterdir()) == []


def _synthetic(header, number):
    header.add_new(0x0008001C, "CS", "YES")


def _contrast(header, number):
    header.ContrastBolusAgent = "Gadovist"


def _tilted(header, number):
    x, y, z = header.ImagePositionPatient
    header.ImagePositionPatient = [x, y + 2 * number, z]


def _without_place(header, number):
    del header.ImagePositionPatient


def _two_matrices(header, number):
    if number == 3:
        header.Rows, header.Columns = 256, 256
        header.PixelData = header.PixelData[: 256 * 256 * 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_synthetic, "is synthetic"),
        (_contrast, "contrast-enhanced"),
        (_tilted, "tilt"),
        (_without_place, "ImagePositionPatient"),
        (_two_matrices, "256"),
    ],
)
def test_a_series_that_must_not_be_translated_is_refused_by_name(
    change, message, run, series, tmp_path
):
    source = series(change)
    result = run(source, "-o", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_slice_is_refused_and_contrast_allowed_if_told(run, done, series, tmp_path):
    source = series(_contrast)
    done(source, "-o", tmp_path / "out", "--allow-contrast")
    sorted(source.iterdir())[9].unlink()
    result = run(source, "-o", tmp_path / "none", "--allow-contrast")
    assert result.exit_code == 3
    assert "missing" in result.stderr


def test_what_it_wrote_is_never_translated_again(run, done, dicom, tmp_path):
    done(dicom / "brainix/t1", "-o", tmp_path / "out")
    result = run(tmp_path / "out", "-o", tmp_path / "again")
    assert (result.exit_code, (tmp_path / "again").exists()) == (3, False)
    assert "is synthetic" in result.stderr


def test_a_folder_of_both_kinds_is_refused(run, series, tmp_path):
    source = series()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), source / "x.nii.gz")
    result = run(source, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "holds DICOM files and volume files" in result.stderr


def test_several_series_give_numbered_results_and_one_refusal_stops_no_other(
    run, series, dicom, tmp_path
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


@pytest.mark.parametrize(
    "name",
    ["brainix/t1", "xa30_enhanced/5_anat-T1w_acq-tfl", "decubitus/HFS/3_t1_fl2d_sag"],
)
def test_validators_find_no_error(name, done, dicom, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    done(dicom / name, "-o", tmp_path / "out", "--uncertainty", tmp_path / "unsure")
    for folder in (tmp_path / "out", tmp_path / "unsure"):
        for path in sorted(folder.iterdir())[::10]:
            told = subprocess.run(["dciodvfy", "-new", path], capture_output=True)
            lines = (told.stdout + told.stderr).decode("utf-8", "replace").splitlines()
            assert "MRImage" in lines  # it checked what it should
            # Its 2022 build does not know SyntheticData.
            errors = [line for line in lines if line.startswith("Error")]
            assert [line for line in errors if "(0008,001c)" not in line] == []


def test_python_does_the_same(toy_generator, dicom, tmp_path, done):
    import hagan_clinic

    source = dicom / "brainix/t1"
    result = hagan_clinic.translate(source, tmp_path / "out", model=toy_generator, device="cpu")
    done(source, "-o", tmp_path / "command")
    assert uids(tmp_path / "out") == uids(tmp_path / "command")
    np.testing.assert_array_equal(
        pixels(tmp_path / "out").T, np.rint(result.volume.array * 4095).astype(np.uint16)
    )
    assert Path(tmp_path / "out" / "0022.dcm").is_file()
