"""Other tools find what `translate` makes of real series where their sources lie, and at peace."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

import hagan_clinic
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack as build_stack
from hagan_clinic.imageio.dicom.series import Stack
from hagan_clinic.volume import Volume, to_axes_of

LPS_TO_RAS = np.diag([-1, -1, 1, 1])


@dataclass(frozen=True, eq=False)
class Made:
    """A source, the folder of the series made of it, and the values that it should hold."""

    source: Stack
    folder: Path
    stored: np.ndarray

    def assert_is(self, volume):
        """The values, on the source's grid to 1e-3 mm."""
        there = to_axes_of(volume, self.source.grid)
        assert there.grid.same_as(self.source.grid, tolerance_mm=1e-3)
        np.testing.assert_array_equal(there.array, self.stored)


@pytest.fixture(scope="module")
def made(t1_series, toy_generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    translation = hagan_clinic.translate(t1_series, folder, model=toy_generator, device="cpu")
    assert translation.volume.array.std() > 0.02
    (series,) = find_series(t1_series).series
    return Made(build_stack(series), folder, np.rint(translation.volume.array * 4095))


def test_simpleitk_reads_it_in_its_sources_place(made):
    found = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(made.folder))
    assert len(found) == made.stored.shape[2]
    image = sitk.ReadImage(found)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    made.assert_is(Volume(array, LPS_TO_RAS @ affine))


def test_highdicom_reads_it_in_its_sources_place(made):
    images = [highdicom.Image.from_dataset(pydicom.dcmread(p)) for p in made.folder.iterdir()]
    volume = highdicom.image.get_volume_from_series(
        images, apply_voi_transform=False, apply_real_world_transform=False
    )
    made.assert_is(Volume(volume.array, LPS_TO_RAS @ volume.affine))


def test_dcm2niix_reads_it_in_its_sources_place(made, tmp_path):
    if shutil.which("dcm2niix") is None:
        pytest.skip("dcm2niix is not installed")
    command = ["dcm2niix", "-z", "n", "-f", "x", "-o", tmp_path, made.folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Warning" not in done.stdout + done.stderr
    (file,) = tmp_path.glob("x*.nii")
    image = nib.load(file)
    made.assert_is(Volume(np.asarray(image.dataobj), image.affine))


def test_dcentvfy_finds_source_and_result_of_one_study(made, tmp_path):
    if shutil.which("dcentvfy") is None:
        pytest.skip("dcentvfy is not installed")
    for number, instance in enumerate(made.source.series.instances):
        with instance.open() as file:
            dataset = pydicom.dcmread(file)
        # It compares bytes, so both must be in one character set.
        if dataset.get("SpecificCharacterSet"):
            dataset.decode()
            dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.save_as(tmp_path / f"{number}.dcm")
    files = [*made.folder.iterdir(), *tmp_path.iterdir()]
    said = subprocess.run(["dcentvfy", *files], capture_output=True)
    lines = (said.stdout + said.stderr).decode("utf-8", "replace").splitlines()
    # A sex that is no enumerated value is left out, and it warns of that.
    assert [line for line in lines if "PatientSex" not in line] == []
