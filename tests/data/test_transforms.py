import numpy as np
import pytest
import torch
import torchio as tio

from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.subject import Subject
from hagan_clinic.data.transforms import brain_mr, chest_ct
from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.intensity import from_unit
from hagan_clinic.volume import Grid, resample, to_canonical

AIR_HU = -1024


@pytest.fixture(scope="module")
def chest(test_data):
    return test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz"


def test_a_chest_keeps_its_place_and_its_hounsfield_units(chest):
    subject = chest_ct(spacing=2.0)(tio.Subject(ct=tio.ScalarImage(chest)))
    volume = to_canonical(read(chest))
    grid = Grid(tuple(subject.ct.data.shape[1:]), subject.ct.affine)
    expected = np.clip(resample(volume, grid, fill=AIR_HU).array, -1024, 600)
    found = from_unit(subject.ct.numpy()[0]) * 1624 - 1024
    assert np.abs(found - expected).max() < 0.5


def test_blank_slices_are_trimmed(chest):
    volume = read(chest)
    blank = np.pad(volume.array, ((0, 0), (0, 0), (20, 30)), constant_values=AIR_HU)
    affine = volume.affine.copy()
    affine[:3, 3] -= 20 * affine[:3, 2]
    padded = tio.ScalarImage(tensor=torch.from_numpy(blank)[None].float(), affine=affine)
    whole = chest_ct()(tio.Subject(ct=tio.ScalarImage(chest))).ct
    trimmed = chest_ct()(tio.Subject(ct=padded)).ct
    assert trimmed.shape == whole.shape
    assert np.allclose(trimmed.affine, whole.affine)


def test_a_box_holds_the_middle_of_the_chest(chest):
    box = chest_ct(spacing=4.0, size=(64, 64, 96))(tio.Subject(ct=tio.ScalarImage(chest))).ct
    assert box.shape == (1, 64, 64, 96)
    lungs = (box.data < -0.8).float().mean()
    assert 0.05 < lungs < 0.8


def test_a_brain_is_prepared_as_training_prepares_it(test_data, tmp_path):
    folder = test_data / "lgg_mni"
    t1 = min(folder.rglob("*_t1.nii.gz"))
    mask = folder / "brain_mask.nii.gz"
    transform = brain_mr(spacing=3.0, size=(64, 64, 64))
    subject = transform(tio.Subject(t1=tio.ScalarImage(t1), mask=tio.LabelMap(mask)))
    trained_on = Subject("one", "one", {"image": t1}, mask)
    (prepared,) = prepare_cohort([trained_on], transform.recipe, tmp_path, shape=(64, 64, 64))
    expected, _, brain = prepared.load(stripped=True)
    assert np.abs(subject.t1.numpy() - expected).max() <= 0.5 / 127.5 + 1e-6  # stored in bytes
    assert subject.t1.spacing == pytest.approx((3.0, 3.0, 3.0))
    assert np.allclose(subject.mask.affine, subject.t1.affine)
    assert (subject.mask.numpy() != brain).mean() < 0.01  # nearest here, linear there


def test_a_prepared_brain_goes_on_through_torchio(test_data):
    folder = test_data / "lgg_mni"
    t1 = min(folder.rglob("*_t1.nii.gz"))
    transform = tio.Compose(
        [brain_mr(spacing=6.0, size=(32, 32, 32)), tio.RandomAffine(), tio.CropOrPad(24)]
    )
    mask = tio.LabelMap(folder / "brain_mask.nii.gz")
    subject = transform(tio.Subject(t1=tio.ScalarImage(t1), mask=mask))
    assert subject.spatial_shape == (24, 24, 24)


def test_an_empty_chest_is_named():
    flat = tio.ScalarImage(tensor=torch.full((1, 16, 16, 16), -1024.0))
    with pytest.raises(InputError, match="all voxels have the value -1024"):
        chest_ct()(tio.Subject(ct=flat))
