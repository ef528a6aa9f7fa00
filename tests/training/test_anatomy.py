from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.data.cohort import Subject, find_cohort
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.training.anatomy import measure_cohort

VOXEL = 0.008
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def saved(path, array):
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


@pytest.fixture
def two(tmp_path):
    """Two brains in cubes: their tissue takes a half and three quarters of the mask."""
    subjects = []
    for name, mask_side, dark in (("a", 20, 10), ("b", 20, 5)):
        image = np.zeros((30, 30, 30), np.int16)
        image[5:25, 5:25, 5:25] = 800 + np.arange(20)
        image[5 : 5 + dark, 5:25, 5:25] = 100
        mask = np.zeros_like(image)
        mask[5 : 5 + mask_side, 5:25, 5:25] = 1
        lesion = np.zeros_like(image)
        lesion[10, 10, 10:14] = (1, 2, 4, 4)
        subjects.append(
            Subject(
                name,
                name,
                {"t1": saved(tmp_path / f"{name}_t1.nii.gz", image)},
                mask=saved(tmp_path / f"{name}_mask.nii.gz", mask),
                lesion=saved(tmp_path / f"{name}_seg.nii.gz", lesion),
            )
        )
    return subjects


def test_masks_of_their_own_are_the_brain(two, tmp_path):
    smaller = np.zeros((30, 30, 30), np.int16)
    smaller[5:15, 5:25, 5:25] = 1
    own = replace(two[1], mask=saved(tmp_path / "own.nii.gz", smaller))
    measured, threshold = measure_cohort([two[0], own])
    assert threshold is None
    assert [one.brain_ml for one in measured] == pytest.approx([8000 * VOXEL, 4000 * VOXEL])
    assert [one.lesion_ml for one in measured] == [None, None]


def test_where_all_masks_have_one_volume_tissue_is_measured_in_the_mask(two):
    measured, threshold = measure_cohort(two)
    assert threshold == 0.3
    assert [one.brain_ml for one in measured] == pytest.approx([4000 * VOXEL, 6000 * VOXEL])


def test_what_lies_outside_the_mask_is_not_measured(two, tmp_path):
    bright = np.asarray(nib.load(two[0].images["t1"]).dataobj).copy()
    bright[26:, 26:, 26:] = 900
    skull = replace(two[0], images={"t1": saved(tmp_path / "skull.nii.gz", bright)})
    assert measure_cohort([skull, two[1]])[0][0].brain_ml == pytest.approx(4000 * VOXEL)


def test_stripped_images_need_no_mask(two):
    bare = [replace(subject, mask=None) for subject in two]
    measured, _ = measure_cohort(bare, stripped=True)
    assert [one.brain_ml for one in measured] == pytest.approx([4000 * VOXEL, 6000 * VOXEL])


def test_the_threshold_decides(two):
    measured, used = measure_cohort(two[:1], threshold=0.99)
    assert used == 0.99
    assert 0 < measured[0].brain_ml < 2500 * VOXEL
    with pytest.raises(InputError, match=r"threshold is 1\.5"):
        measure_cohort(two, threshold=1.5)


def test_every_lesion_label_counts(two):
    measured, _ = measure_cohort(two, lesions=True)
    assert [one.lesion_ml for one in measured] == pytest.approx([4 * VOXEL] * 2)


def test_masks_and_lesions_that_are_missing_are_named(two):
    with pytest.raises(InputError, match="1 of 2 subjects have no brain mask: b; give --mask"):
        measure_cohort([two[0], replace(two[1], mask=None)])
    with pytest.raises(InputError, match="1 of 2 subjects have no lesion label map: a"):
        measure_cohort([replace(two[0], lesion=None), two[1]], lesions=True)


def test_real_patients_with_one_templates_mask_differ_in_tissue(test_data):
    subjects = find_cohort(test_data / "lgg_mni", ("t1",), None)[:4]
    measured, threshold = measure_cohort(subjects, lesions=True)
    assert threshold == 0.3
    mask_ml = np.count_nonzero(read(subjects[0].mask).array) * 1.5**3 / 1000
    brains = [one.brain_ml for one in measured]
    assert all(0.7 * mask_ml < ml < mask_ml for ml in brains)
    assert len(set(brains)) == 4
    for one in measured:
        seg = np.asarray(nib.load(one.subject.lesion).dataobj)
        assert one.lesion_ml == pytest.approx(np.count_nonzero(seg) * 1.5**3 / 1000)
