import subprocess

import dcm2niix
import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedMRImageStorage

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import POSITION_MM, stack
from hagan_clinic.volume import Grid, canonical_grid

REAL = [
    "brainix/t1",
    "brainix/flair",
    "sag_mprage",
    "xa30_enhanced/5_anat-T1w_acq-tfl",
    "decubitus/HFS/3_t1_fl2d_sag",
    "decubitus/HFP/2_t1_fl2d_sag",
]
EDGE = [
    "generic/compressed_j2k",
    "generic/compressed_jpeg",
    "generic/compressed_jpegls",
    "generic/compressed_rle",
    "hitachi/anatomical/001",
    "hitachi/anatomical/001_implicit",
    "hyperfine/anatomical",
    "philips_enhanced/anatomical/001",
    "philips_enhanced/anatomical/001_implicit",
    "siemens_multiframe/anatomical",
]
READABLE = [*REAL, *(f"edge/{folder}" for folder in EDGE)]
SHIFT = [0.3, -0.2, 0.4]


def _stack(folder):
    (series,) = find_series(folder).series
    return stack(series)


@pytest.fixture
def refused(save):
    """Claim that the data sets are refused with this message."""

    def claim(datasets, match, folder="series"):
        with pytest.raises(InputError, match=match):
            _stack(save(datasets, folder))

    return claim


@pytest.mark.parametrize("folder", READABLE)
def test_grid_is_that_of_dcm2niix(test_data, tmp_path, folder):
    run = [
        dcm2niix.bin,
        "-b",
        "n",
        "-f",
        "s",
        "-o",
        str(tmp_path),
        str(test_data / "dicom" / folder),
    ]
    subprocess.run(run, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.nii")
    image = nibabel.load(path)
    oracle = canonical_grid(Grid(image.shape[:3], image.affine))
    assert canonical_grid(_stack(test_data / "dicom" / folder).grid).same_as(oracle, 1e-3)


# highdicom refuses siemens_multiframe and the JPEG lossless set: it decodes the pixels too.
@pytest.mark.parametrize("folder", REAL)
def test_grid_is_that_of_highdicom(test_data, folder):
    files = [path for path in (test_data / "dicom" / folder).iterdir() if path.name != "LICENSE"]
    if len(files) == 1:
        volume = highdicom.imread(files[0]).get_volume()
    else:
        volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in files])
    affine = volume.affine[:, [2, 1, 0, 3]]
    affine[:2] *= -1
    oracle = canonical_grid(Grid(volume.spatial_shape[::-1], affine))
    assert canonical_grid(_stack(test_data / "dicom" / folder).grid).same_as(oracle, 1e-3)


@pytest.mark.parametrize("folder", READABLE)
def test_real_positions_lie_far_within_the_tolerance(test_data, folder):
    made = _stack(test_data / "dicom" / folder)
    lattice = made.grid.affine @ np.array([[0, 0, k, 1] for k in range(len(made.slices))]).T
    told = np.array([part.plane.ImagePositionPatient for part in made.slices], float)
    distances = np.linalg.norm(lattice[:3].T * [-1, -1, 1] - told, axis=1)
    assert distances.max() < POSITION_MM / 20


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("gantrytilting", r"IM-0001-0001.dcm: the line of slices is tilted by 14\.00°.*gantry"),
        ("notavolume", "lie at one place, and so do all 4 slices.*this is no volume"),
        ("sliceincrement/001", r"0009.*0010.*: 1 slice is missing between them.*10\.0000 mm"),
        ("sliceincrement/002", r"0003.*0005.*: 1 slice is missing between them.*1\.4994 mm"),
        ("sliceorientation", "has the ImageOrientationPatient .*, where 2 of 4 slices have"),
    ],
)
def test_failing_sets_are_refused_by_name(test_data, folder, reason):
    with pytest.raises(InputError, match=reason):
        _stack(test_data / "dicom" / "edge" / "failing" / folder)


def test_slices_are_ordered_along_their_normal_whatever_the_files_are_called(make_draft, save):
    datasets = make_draft()
    made = _stack(save([datasets[place] for place in (4, 8, 0, 3, 7, 1, 6, 2, 5)]))
    assert [part.instance.header.InstanceNumber for part in made.slices] == list(range(1, 10))
    assert made.grid.shape == (8, 6, 9)
    assert made.grid.spacing == pytest.approx((1.1, 0.9, 1.5))
    assert made.grid.affine[:3, 3] == pytest.approx([4, -5, -30])


def test_positions_keep_the_strings_of_the_source(make_draft, save):
    datasets = make_draft()
    told = [f"{float(value):.13f}" for value in datasets[0].ImagePositionPatient]
    datasets[0].ImagePositionPatient = told
    plane = _stack(save(datasets)).slices[0].plane
    assert [value.original_string for value in plane.ImagePositionPatient] == told


@pytest.mark.parametrize("decimals", [2, 3, 6])
def test_rounded_positions_are_taken(make_draft, save, decimals):
    datasets = make_draft(count=40)
    for one in datasets:
        one.ImagePositionPatient = [f"{v:.{decimals}f}" for v in one.ImagePositionPatient]
        one.ImageOrientationPatient = [f"{v:.6f}" for v in one.ImageOrientationPatient]
    assert _stack(save(datasets)).grid.spacing[2] == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize("gone", [1, 4, 7])
def test_a_missing_slice_is_refused(make_draft, refused, gone):
    datasets = make_draft()
    del datasets[gone]
    told = f"IM{gone:04d} and IM{gone + 1:04d}: 1 slice is missing between them.*3.0000 mm.*1.5000"
    refused(datasets, told)


def test_several_missing_slices_are_counted(make_draft, refused):
    datasets = make_draft()
    del datasets[3:6]
    refused(datasets, "IM0003 and IM0004: 3 slices are missing")


def test_a_copied_file_is_refused(make_draft, refused):
    datasets = make_draft()
    refused([*datasets, datasets[4]], "IM0010: has the SOP Instance UID of IM0005.*leave the copy")


def test_an_image_without_its_uid_is_refused(make_draft, refused):
    datasets = make_draft()
    datasets[4].SOPInstanceUID = ""
    refused(datasets, "IM0005: has no SOPInstanceUID")


def test_a_second_image_at_one_place_is_refused(make_draft, refused):
    datasets = make_draft()
    datasets.append(make_draft(uid="1.2.4", SeriesInstanceUID="1.2.3")[4])
    refused(datasets, r"IM0005 and IM0010: lie at one place \(10 slices at 9 places\)")


def test_a_4d_series_is_refused(make_draft, refused):
    later = make_draft(uid="1.2.4", SeriesInstanceUID="1.2.3", AcquisitionNumber=2)
    refused(make_draft() + later, r"AcquisitionNumber none and 2\): a 4D series of 2 volumes")


def test_two_echoes_are_refused(make_draft, refused):
    echo = make_draft(uid="1.2.4", SeriesInstanceUID="1.2.3", EchoTime=80)
    refused(make_draft() + echo, "IM0010: has the EchoTime 80 ms, where 9 of 18 slices have 2.5 ms")


def test_a_mosaic_is_refused(make_draft, refused):
    kind = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    refused(make_draft(ImageType=kind), "IM0001: is a mosaic")


def test_a_localizer_mixed_in_is_refused(make_draft, refused):
    datasets = make_draft()
    datasets[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    refused(datasets, r"IM0001: is a localizer among other images .*1 of 9 images")


def test_a_localizer_that_does_not_say_so_is_refused_by_its_orientation(make_draft, refused):
    datasets = make_draft()
    datasets[2].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    refused(datasets, "IM0003: has the ImageOrientationPatient 0 1 0 0 0 -1, where 8 of 9 slices")


@pytest.mark.parametrize("place", [0, 4, 8])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_displaced_slice_is_refused(make_draft, refused, place, axis):
    datasets = make_draft()
    position = [float(value) for value in datasets[place].ImagePositionPatient]
    position[axis] += 0.1
    datasets[place].ImagePositionPatient = [f"{value:.8f}" for value in position]
    refused(datasets, "not uniform|tilted")


def test_uneven_spacing_is_refused(make_draft, refused):
    datasets = make_draft()
    normal = np.array([0, -np.sin(np.radians(20)), np.cos(np.radians(20))])
    for place, one in enumerate(datasets):
        position = np.array(one.ImagePositionPatient, float) + 0.01 * place**2 * normal
        one.ImagePositionPatient = [f"{value:.8f}" for value in position]
    refused(datasets, "the spacing is not uniform")


def test_gantry_tilt_is_refused(make_draft, refused):
    datasets = make_draft()
    for place, one in enumerate(datasets):
        one.ImagePositionPatient = [-4, 5, -30 + 1.5 * place]
    refused(datasets, r"IM0001: the line of slices is tilted by 20\.00° .*\(gantry tilt\)")


def test_slices_beside_each_other_are_refused(make_draft, refused):
    datasets = make_draft()
    datasets[5].ImagePositionPatient = [
        float(datasets[4].ImagePositionPatient[0]) + 50,
        *datasets[4].ImagePositionPatient[1:],
    ]
    refused(datasets, "lie side by side in one plane, 50 mm apart")


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("Rows", 7, r"matrix \(rows, columns\) \(7, 8\)"),
        ("Columns", 4, r"matrix \(rows, columns\) \(6, 4\)"),
        ("PixelSpacing", [0.9, 1.2], "PixelSpacing 0.9 1.2, where 8 of 9 slices have 0.9 1.1"),
        (
            "FrameOfReferenceUID",
            "1.2.10",
            "FrameOfReferenceUID no. 2, where 8 of 9 slices have no. 1",
        ),
        ("PhotometricInterpretation", "MONOCHROME1", "PhotometricInterpretation MONOCHROME1"),
        ("PixelRepresentation", 1, "PixelRepresentation 1"),
        ("StudyInstanceUID", "1.99", "is of another study"),
        ("PatientID", "other", "is of another patient"),
    ],
)
def test_mixed_slices_are_refused(make_draft, refused, keyword, value, told):
    datasets = make_draft()
    setattr(datasets[6], keyword, value)
    if keyword in ("Rows", "Columns"):
        datasets[6].PixelData = bytes(2 * datasets[6].Rows * datasets[6].Columns)
    refused(datasets, f"IM0007: (has the )?{told}")


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
)
@pytest.mark.parametrize("places", [[3], range(9)])
def test_missing_geometry_is_refused(make_draft, refused, keyword, places):
    datasets = make_draft()
    for place in places:
        del datasets[place][keyword]
    refused(datasets, f"IM000[14]: has no {keyword}, expected . numbers; its geometry is unknown")


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 0, 0.5, 0], "not two unit vectors"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "not two unit vectors"),
        ("ImageOrientationPatient", [1, 0, 0], "expected 6 numbers"),
        ("PixelSpacing", [0, 1], "expected 0.005 to 100 mm"),
        ("PixelSpacing", [-1, 1], "expected 0.005 to 100 mm"),
    ],
)
def test_malformed_geometry_is_refused(make_draft, refused, keyword, value, told):
    refused(make_draft(**{keyword: value}), told)


@pytest.mark.parametrize("told", [b"nan\\1 ", b"inf\\1 ", b"one\\1 ", b"1e999\\1 "])
def test_numbers_that_are_none_are_refused(make_draft, save, told):
    folder = save(make_draft())
    for path in folder.iterdir():
        raw = path.read_bytes()
        spacing = b"0.9\\1.1 "
        assert raw.count(spacing) == 1
        path.write_bytes(raw.replace(spacing, told.ljust(len(spacing))[: len(spacing)]))
    with pytest.raises(InputError, match="PixelSpacing"):
        _stack(folder)


def test_positions_against_the_slice_locations_are_refused(make_draft, refused):
    datasets = make_draft()
    one, other = datasets[2], datasets[5]
    swapped = list(one.ImagePositionPatient), list(other.ImagePositionPatient)
    other.ImagePositionPatient, one.ImagePositionPatient = swapped
    refused(datasets, "by ImagePositionPatient, but not by SliceLocation")


def test_slice_locations_may_run_backwards(make_draft, save):
    datasets = make_draft()
    for place, one in enumerate(datasets):
        one.SliceLocation = -place
    _stack(save(datasets))


def test_a_single_slice_is_refused(make_draft, refused):
    refused(make_draft(count=1), "IM0001: is a single slice, expected a volume")


def _concatenation(draft, parts, total):
    """Frames of a series as the parts of a concatenation, those of them that are there."""
    made = []
    for number, places in parts.items():
        part = draft[places[0]]
        part.SOPClassUID = part.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        part.ConcatenationUID, part.InConcatenationNumber = "1.2.77", number
        if total:
            part.InConcatenationTotalNumber = total
        groups = []
        for place in places:
            group = pydicom.Dataset()
            for sequence, keywords in (
                ("PlanePositionSequence", ["ImagePositionPatient"]),
                ("PlaneOrientationSequence", ["ImageOrientationPatient"]),
                ("PixelMeasuresSequence", ["PixelSpacing"]),
            ):
                item = pydicom.Dataset()
                for keyword in keywords:
                    item.add(draft[place][keyword])
                setattr(group, sequence, [item])
            groups.append(group)
        part.NumberOfFrames, part.PerFrameFunctionalGroupsSequence = len(groups), groups
        part.PixelData = part.PixelData * len(groups)
        made.append(part)
    return made


@pytest.mark.parametrize("total", [3, None])
def test_a_concatenation_is_one_volume_if_all_of_it_is_there(make_draft, refused, save, total):
    parts = {1: range(3), 2: range(3, 7), 3: range(7, 9)}
    whole = _concatenation(make_draft(), parts, total)
    (series,) = find_series(save(whole)).series
    assert stack(series).grid.shape[2] == 9
    for gone, name in ((1, "IM0001: is part 2 of 3"), (2, "IM0001: is part 1 of 3")):
        told = f"{name} of a concatenation, and part {gone} is missing; export the series again"
        refused([part for part in whole if part.InConcatenationNumber != gone], told, f"no{gone}")
    if total:
        told = "IM0001: is part 1 of 3 of a concatenation, and part 2, 3 is missing"
        refused(whole[:1], told, "first")
