import csv
import re
from dataclasses import replace

import numpy as np
import pytest

from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.preparation import prepare
from hagan_clinic.runtime import find_model, load_model
from hagan_clinic.runtime.enhancement import bright_share
from hagan_clinic.runtime.plausibility import (
    box_warnings,
    grid_warnings,
    image_warnings,
    slice_warnings,
)
from hagan_clinic.volume import Grid, Volume


def _grid(shape, spacing):
    return Grid(shape, np.diag([*spacing, 1.0]))


def _patients(test_data, *splits):
    with (test_data / "lgg_mni" / "split.csv").open() as file:
        names = [row["subject"] for row in csv.DictReader(file) if row["split"] in splits]
    return [test_data / "lgg_mni" / name / name for name in names]


def test_thin_slices_over_a_whole_head_are_fine():
    assert grid_warnings("t1", _grid((240, 240, 155), (1.0, 1.0, 1.0))) == []


def test_thick_slices_are_warned_of():
    (warning,) = grid_warnings("t1", _grid((256, 256, 24), (0.9, 0.9, 6.0)))
    assert "slices 6.0 mm apart, expected at most 3 mm" in warning


def test_small_field_of_view_is_warned_of():
    (warning,) = grid_warnings("t1", _grid((240, 240, 60), (1.0, 1.0, 1.0)))
    assert "field of view of 240 x 240 x 60 mm, expected at least 100 mm" in warning


@pytest.mark.parametrize(
    ("empty", "told"),
    [
        ([7], "1 empty slices between others .the first is slice 8 of 20"),
        ([5, 6, 7, 11], "4 empty slices between others .the first is slice 6 of 20"),
        ([0, 1, 18, 19], None),  # around the head
        (range(20), None),  # told otherwise
    ],
)
def test_empty_slices_between_others_are_warned_of(empty, told):
    array = np.ones((6, 7, 20), np.float32)
    array[:, :, list(empty)] = 0
    warnings = slice_warnings("t1", Volume(array, np.eye(4)))
    assert len(warnings) == (told is not None)
    if told:
        assert re.search(told, warnings[0])


def test_a_slice_that_shows_a_single_voxel_is_not_empty():
    array = np.ones((6, 7, 20), np.float32)
    array[:, :, 7] = 0
    array[1, 2, 7] = 1
    assert slice_warnings("t1", Volume(array, np.eye(4))) == []


def test_no_real_head_has_empty_slices(test_data):
    for patient in _patients(test_data, "test"):
        assert slice_warnings("t1", read(f"{patient}_t1.nii.gz")) == []


def test_t1_and_flair_of_a_dozen_patients_are_told_apart_with_and_without_skull(test_data):
    patients = _patients(test_data, "calibration", "test")[::2]
    mask = read(test_data / "lgg_mni" / "brain_mask.nii.gz").array > 0
    doubted = dict.fromkeys(["t1", "flair"], 0)
    for index, patient in enumerate(patients):
        for sequence in doubted:
            volume = read(f"{patient}_{sequence}.nii.gz")
            if index % 2:
                volume = volume.with_array(volume.array * mask)
            doubted[sequence] += bool(image_warnings("t1", volume))
    assert doubted == {"t1": 0, "flair": len(patients)}


@pytest.mark.parametrize("name", ["BraTS-GLI-00001-000", "OPENMS-patient19"])
def test_t1_and_flair_of_other_scanners_are_told_apart(test_data, name):
    folder = test_data / "pairs_1mm" / name
    assert image_warnings("t1", read(folder / f"{name}_t1.nii.gz")) == []
    (warning,) = image_warnings("t1", read(folder / f"{name}_flair.nii.gz"))
    assert "does not look like a T1" in warning
    assert "check that it is a T1" in warning


def test_sequences_other_than_t1_are_not_judged_by_their_grey_values(test_data):
    folder = test_data / "pairs_1mm" / "OPENMS-patient07"
    assert image_warnings("flair", read(folder / "OPENMS-patient07_flair.nii.gz")) == []


def test_chest_is_no_head(test_data):
    (warning,) = image_warnings("t1", read(test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz"))
    assert "litres of tissue" in warning


def test_small_object_is_no_head():
    array = np.zeros((120, 120, 120), np.float32)
    array[50:80, 50:80, 50:80] = np.random.default_rng(0).uniform(50, 100, (30, 30, 30))
    (warning,) = image_warnings("t1", Volume(array, np.eye(4)))
    assert "shows 0.0 litres of tissue, expected 0.3 to 8" in warning


@pytest.mark.parametrize("inverted", [False, True])
def test_grey_values_upside_down_are_warned_of(test_data, inverted):
    path = test_data / "pairs_1mm" / "OPENMS-patient07" / "OPENMS-patient07_t1.nii.gz"
    volume = read(path)
    array = np.where(volume.array > 0, volume.array.max() * 1.1 - volume.array, 0)
    assert bool(image_warnings("t1", volume.with_array(array) if inverted else volume)) == inverted


def _with_veins(head, gain):
    """A head in MNI space with a straight sinus and the plexus, brighter than white matter."""
    places = np.moveaxis(np.indices(head.shape), 0, -1) @ head.affine[:3, :3].T + head.affine[:3, 3]
    veins = np.zeros(head.shape, bool)
    for start, end in (
        ((0, -35, 12), (0, -80, -5)),
        *(((x, -38, 14), (x / 2, 0, 16)) for x in (22, -22)),
    ):
        along = np.subtract(end, start)
        share = np.clip((places - start) @ along / (along @ along), 0, 1)
        veins |= np.linalg.norm(places - start - share[..., None] * along, axis=-1) <= 2.5
    white = np.percentile(head.array[head.array > 0], 85)
    return head.with_array(np.where(veins, gain * white, head.array))


def test_bright_deep_veins_are_warned_of_unless_contrast_is_allowed(test_data):
    for patient in _patients(test_data, "test")[::4]:
        enhanced = _with_veins(read(f"{patient}_t1.nii.gz"), 1.7)
        (warning,) = image_warnings("t1", enhanced)
        assert "t1 looks contrast-enhanced" in warning and "--allow-contrast" in warning
        assert image_warnings("t1", enhanced, allow_contrast=True) == []
        assert image_warnings("t1", _with_veins(enhanced, 1.0)) == []


@pytest.mark.parametrize("series", ["brainix", "sag_mprage", "xa30_enhanced", "decubitus/HFS"])
def test_native_heads_of_other_scanners_do_not_look_enhanced(test_data, series):
    volume = read_series(test_data / "dicom" / series, "t1").volume
    assert not [one for one in image_warnings("t1", volume) if "contrast" in one]


@pytest.mark.parametrize("turned", [False, True])
def test_the_share_of_bright_voxels_is_that_of_the_box(turned):
    """A uniform block with a bright rod through the middle, and coils that brighten one end."""
    array = np.full((90, 90, 90), 100, np.float32)
    array[44:46, :, 44:46] = 200
    array *= np.linspace(1, 2.5, 90)[:, None, None] if turned else 1
    share = bright_share(array, (2.0, 2.0, 2.0), (45.0, 45.0, 45.0))
    assert share == pytest.approx(4 / (20 * 25), rel=0.1)
    assert bright_share(array[:, :, :10], (2.0, 2.0, 2.0), (45.0, 45.0, 45.0)) == 0


def _boxed(volume, mask=None):
    """The warnings of a box that is fixed."""
    recipe = replace(
        load_model(find_model("t1_to_flair")).recipe,
        spacing=(1.5, 1.5, 1.5), box=(112, 128, 112), box_grows=False,
    )  # fmt: skip
    return box_warnings(prepare([volume], recipe, mask=mask), masked=mask is not None)


def test_skull_and_scalp_outside_the_box_are_no_cut_brain(test_data):
    mask = read(test_data / "lgg_mni" / "brain_mask.nii.gz")
    for patient in _patients(test_data, "test")[::4]:
        head = read(f"{patient}_t1.nii.gz")
        assert _boxed(head) == []
        assert _boxed(head, mask) == []
        assert _boxed(head.with_array(head.array * (mask.array > 0))) == []


def test_a_brain_that_the_box_cuts_is_warned_of_with_and_without_mask(test_data):
    """A head whose header states voxels a third too large."""
    scan = read(f"{_patients(test_data, 'test')[0]}_t1.nii.gz")
    large = np.diag([4 / 3, 4 / 3, 4 / 3, 1])
    scan = Volume(scan.array, large @ scan.affine)
    mask = read(test_data / "lgg_mni" / "brain_mask.nii.gz")
    (warning,) = _boxed(scan)
    assert "of the head's top 90 mm lies outside the 168 x 192 x 168 mm that the model" in warning
    (warning,) = _boxed(scan, Volume(mask.array, large @ mask.affine))
    assert "of the brain mask lies outside" in warning
    assert "its uncertainty 1; check the voxel size and the mask" in warning


def test_a_chest_is_cut_by_the_box(test_data):
    (warning,) = _boxed(read(test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz"))
    assert "lies outside" in warning
