"""A derived series holds the pixels, lies where its source lies, and other tools agree."""

import json
import shutil
import subprocess
from datetime import timedelta

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.writer import write_series
from hagan_clinic.volume import Volume, to_axes_of

TIMES = {
    *("SeriesDate", "SeriesTime", "ContentDate", "ContentTime"),
    *("InstanceCreationDate", "InstanceCreationTime"),
}


def read(paths):
    return [pydicom.dcmread(path) for path in paths]


def strings(element):
    """The decimal strings of an element, as they stand in its file."""
    values = element.value if element.VM > 1 else [element.value]
    return [value.original_string for value in values]


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def output_of(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def test_stored_values_are_the_values_times_4095(written, source, make_values):
    array = make_values(source)
    for index, path in enumerate(written):
        stored = pydicom.dcmread(path).pixel_array
        assert stored.dtype == np.uint16 and stored.max() <= 4095
        np.testing.assert_array_equal(stored, np.rint(array[:, :, index].T * 4095))
        np.testing.assert_allclose(stored.T / 4095, array[:, :, index], atol=0.5 / 4095 + 1e-7)
    assert len(written) == source.grid.shape[2]


def test_files_are_named_and_numbered_by_place(written, source):
    assert [p.name for p in written] == [f"{n:04}.dcm" for n in range(1, len(written) + 1)]
    assert sorted(written[0].parent.iterdir()) == written
    instances = read(written)
    assert [i.InstanceNumber for i in instances] == list(range(1, len(written) + 1))
    directions = np.array(instances[0].ImageOrientationPatient).reshape(2, 3)
    normal = np.cross(*directions)
    places = [normal @ np.array(i.ImagePositionPatient) for i in instances]
    assert (np.diff(places) > 0).all()


def test_every_plane_has_its_sources_decimal_strings(written, source):
    for derived, origin in zip(read(written), source.slices, strict=True):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert strings(derived[keyword]) == strings(origin.plane[keyword])
        assert strings(derived["SliceThickness"]) == strings(origin.plane["SliceThickness"])
        assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == (
            origin.instance.header.SOPInstanceUID
        )
        assert float(derived.SpacingBetweenSlices) == pytest.approx(source.grid.spacing[2])


def test_patient_and_study_are_the_sources(written, source):
    header = source.series.header
    for derived in read(written):
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientPosition"):
            assert derived[keyword].value == header[keyword].value
        for keyword in ("PatientName", "PatientID", "StudyDate", "AccessionNumber"):
            assert derived[keyword].value == header[keyword].value
        assert derived.SeriesInstanceUID != header.SeriesInstanceUID
        assert not [e for e in derived.iterall() if e.tag.is_private]


def test_writing_again_gives_the_same_files(write, stack):
    first, second = write(stack), write(stack)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_the_order_of_the_files_does_not_matter(write, headers, make_stack):
    headers[0].PatientComments, headers[4].PatientComments = "first", "last"
    first, second = write(make_stack(headers)), write(make_stack(headers[::-1]))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_only_times_tell_two_runs_apart(write, stack, make_values):
    first = write(stack, now=None)
    now = pydicom.dcmread(first[0])
    later = write(stack, now=tomorrow(now))
    for one, other in zip(read(first), read(later), strict=True):
        assert one.SOPInstanceUID == other.SOPInstanceUID
        assert {e.keyword for e in one if e != other[e.tag]} <= TIMES
        assert {e.keyword for e in one} == {e.keyword for e in other}
    # and within a run no slice is of another moment
    assert len({(i.ContentDate, i.ContentTime) for i in read(first)}) == 1


def tomorrow(dataset):
    from datetime import datetime

    text = dataset.ContentDate + dataset.ContentTime + dataset.TimezoneOffsetFromUTC
    return datetime.strptime(text, "%Y%m%d%H%M%S%z") + timedelta(days=1, seconds=1)


def test_the_uncertainty_map_is_a_series_of_its_own(write, stack):
    image, uncertainty = (read(write(stack, content=c)) for c in ("image", "uncertainty"))
    for one, other in zip(image, uncertainty, strict=True):
        assert one.SeriesInstanceUID != other.SeriesInstanceUID
        assert one.SOPInstanceUID != other.SOPInstanceUID
        assert one.SeriesNumber != other.SeriesNumber
        assert one.StudyInstanceUID == other.StudyInstanceUID
        assert one.FrameOfReferenceUID == other.FrameOfReferenceUID
        assert one.DerivationCodeSequence != other.DerivationCodeSequence
        assert other.SeriesDescription.startswith("SYNTHETIC UNCERTAINTY FLAIR")
        assert "Uncertainty of the FLAIR" in other.DerivationDescription


@pytest.mark.parametrize("outside", [0.0, 1.0])
def test_the_window_is_that_of_the_synthesised_voxels(write, stack, outside):
    # Most voxels hold nothing, as around a brain without its skull.
    array = np.full(stack.grid.shape, outside, dtype=np.float32)
    inside = np.linspace(0.1, 0.5, array[20:30, 20:30].size, dtype=np.float32)
    array[20:30, 20:30] = inside.reshape(10, 10, -1)
    instances = read(write(stack, array))
    assert len({(i.WindowCenter, i.WindowWidth) for i in instances}) == 1
    centre, width = float(instances[0].WindowCenter), float(instances[0].WindowWidth)
    low, high = centre - width / 2, centre + width / 2 - 1
    expected = np.percentile(np.rint(inside * 4095), (0.5, 99.5))
    np.testing.assert_allclose((low, high), expected, atol=3)


@pytest.mark.parametrize(("value", "window"), [(0.0, (2048, 4096)), (0.5, (2048.5, 2))])
def test_a_flat_volume_has_a_window_too(write, stack, value, window):
    array = np.full(stack.grid.shape, value, dtype=np.float32)
    instance = read(write(stack, array))[0]
    assert (instance.WindowCenter, instance.WindowWidth) == window


def test_rounding_beyond_the_range_is_cut(write, stack):
    array = np.full(stack.grid.shape, 1.0005, dtype=np.float32)
    array[0] = -0.0005
    stored = read(write(stack, array))[0].pixel_array
    assert stored.min() == 0 and stored.max() == 4095


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1, 300.0])
def test_values_out_of_range_are_an_error(write, stack, value):
    array = np.full(stack.grid.shape, 0.5, dtype=np.float32)
    array[3, 4, 2] = value
    with pytest.raises(ValueError, match="in slice 2, expected values from 0 to 1"):
        write(stack, array)


def test_an_array_off_the_grid_is_an_error(write, stack):
    with pytest.raises(ValueError, match=r"array of shape \(64, 48, 5\) on a grid of shape"):
        write(stack, np.zeros((64, 48, 5), dtype=np.float32))


def test_a_folder_that_cannot_take_it_is_named(stack, derivation, make_values, tmp_path):
    args = (make_values(stack), stack, derivation, SeriesOptions())
    with pytest.raises(OutputError, match=r"none: No such file or directory"):
        write_series(*args, tmp_path / "none")
    (tmp_path / "other.txt").touch()
    with pytest.raises(OutputError, match="is not empty; expected an empty folder"):
        write_series(*args, tmp_path)


def test_a_full_disk_is_named(stack, derivation, make_values, small_disk):
    (small_disk / "full").write_bytes(bytes(40 * 1024))
    folder = small_disk / "derived"
    folder.mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*dcm: No space left"):
        write_series(make_values(stack), stack, derivation, SeriesOptions(), folder)


@pytest.mark.parametrize("content", ["image", "uncertainty"])
def test_dciodvfy_finds_no_error(write, source, content):
    dciodvfy = tool("dciodvfy")
    paths = write(source, content=content, options=SeriesOptions(institution_code="1^99X^Klinik"))
    for path in (paths[0], paths[len(paths) // 2], paths[-1]):
        said = output_of(dciodvfy, "-new", path).splitlines()
        assert "MRImage" in said  # it checked what it should
        # Builds before 2023 do not know SyntheticData, which the standard has since 2022.
        errors = [line for line in said if line.startswith("Error") and "(0008,001c)" not in line]
        assert not errors


def test_dcentvfy_finds_source_and_derived_of_one_study(written, source, tmp_path):
    dcentvfy = tool("dcentvfy")
    origin = tmp_path / "origin"
    origin.mkdir()
    for number, instance in enumerate(source.series.instances):
        with instance.open() as file:
            dataset = pydicom.dcmread(file)
        # It compares bytes, so both must be in one character set.
        if dataset.get("SpecificCharacterSet"):
            dataset.decode()
            dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.save_as(origin / f"{number}.dcm")
    said = output_of(dcentvfy, *written, *origin.iterdir())
    # Warnings are of what is empty on one side only: a sex that is no enumerated value.
    assert [line for line in said.splitlines() if "PatientSex" not in line] == []
    other = read(written)[0]
    other.PatientBirthDate = "19000101"
    other.save_as(tmp_path / "other.dcm")
    assert "PatientBirthDate" in output_of(dcentvfy, tmp_path / "other.dcm", *origin.iterdir())


def test_simpleitk_reads_it_in_its_sources_place(written, source, make_values):
    found = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(written[0].parent))
    assert sorted(found) == sorted(map(str, written))
    image = sitk.ReadImage(found)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert_is_source(Volume(array, np.diag([-1, -1, 1, 1]) @ affine), source, make_values)


def test_highdicom_reads_it_in_its_sources_place(written, source, make_values):
    volume = highdicom.image.get_volume_from_series(
        [highdicom.Image.from_dataset(d) for d in read(written)],
        apply_voi_transform=False,
        apply_real_world_transform=False,
    )
    affine = np.diag([-1, -1, 1, 1]) @ volume.affine
    assert_is_source(Volume(volume.array, affine), source, make_values)


def test_dcm2niix_reads_it_in_its_sources_place(written, source, make_values, tmp_path):
    dcm2niix = tool("dcm2niix")
    said = output_of(dcm2niix, "-z", "n", "-f", "x", "-o", tmp_path, written[0].parent)
    assert "Warning" not in said
    (file,) = tmp_path.glob("x*.nii")
    image = nib.load(file)
    assert_is_source(Volume(np.asarray(image.dataobj), image.affine), source, make_values)
    told = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert told["ImageType"][:2] == ["DERIVED", "SECONDARY"]
    for name in ("EchoTime", "RepetitionTime", "FlipAngle", "MagneticFieldStrength"):
        assert not told.get(name), name


def test_dcmtk_reads_it_without_complaint(write, stack):
    dcmdump = tool("dcmdump")
    for path in write(stack):
        said = output_of(dcmdump, "-q", path)
        assert said.lower().count("error") == 0
        assert "SYNTHETIC, NOT FOR DIAGNOSIS" in said


def assert_is_source(volume, source, make_values):
    """The volume holds the values written, on the source's grid to 1e-3 mm."""
    there = to_axes_of(volume, source.grid)
    assert there.grid.same_as(source.grid, tolerance_mm=1e-3)
    np.testing.assert_array_equal(there.array, np.rint(make_values(source) * 4095))
