"""One head scanned on its back and on its face: both results show the same head the same way."""

import numpy as np
import pytest
import SimpleITK as sitk

import hagan_clinic

SPACING_MM, SIDE = 2.0, 110


@pytest.fixture(
    scope="module", params=["toy", pytest.param("bundled", marks=pytest.mark.slow)], ids=str
)
def heads(request, test_data, toy_generator, tmp_path_factory):
    """What a generator makes of both, on a grid of the patient's axes around its centre of mass."""
    folder = tmp_path_factory.mktemp("decubitus")
    made = []
    for name in ("HFS/3_t1_fl2d_sag", "HFP/2_t1_fl2d_sag"):
        path = folder / f"{name[:3]}.nii.gz"
        series = test_data / "dicom" / "decubitus" / name
        model = str(toy_generator) if request.param == "toy" else "t1_to_flair"
        hagan_clinic.translate(series, path, model=model, device="cpu")
        made.append(_centred(sitk.ReadImage(str(path), sitk.sitkFloat32)))
    return made


def _centred(image):
    bright = np.argwhere(sitk.GetArrayViewFromImage(image) > 0.15).mean(axis=0)[::-1]
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint(bright.tolist()))
    grid = sitk.Image([SIDE] * 3, sitk.sitkFloat32)
    grid.SetSpacing([SPACING_MM] * 3)
    grid.SetOrigin((centre - SPACING_MM * (SIDE - 1) / 2).tolist())
    resampled = sitk.Resample(image, grid)
    resampled.SetOrigin([0.0] * 3)
    return resampled


def _correlation(fixed, moving, flipped):
    """After the rigid movement that fits best, with the moving head mirrored along axes or not."""
    array = np.ascontiguousarray(np.flip(sitk.GetArrayFromImage(moving), flipped))
    moving = sitk.GetImageFromArray(array)
    moving.CopyInformation(fixed)
    movement = sitk.Euler3DTransform()
    movement.SetCenter([SPACING_MM * (SIDE - 1) / 2] * 3)
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsCorrelation()
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetInitialTransform(movement, True)
    registration.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200)
    registration.SetOptimizerScalesFromPhysicalShift()
    registration.SetShrinkFactorsPerLevel([4, 2])
    registration.SetSmoothingSigmasPerLevel([2, 1])
    registration.Execute(fixed, moving)
    one = sitk.GetArrayFromImage(fixed)
    other = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, movement))
    head = (one > 0.1) | (other > 0.1)
    return np.corrcoef(one[head], other[head])[0, 1]


def test_supine_and_prone_give_the_same_head_the_right_way_round(heads):
    right = _correlation(*heads, [])
    upside_down, back_to_front, mirrored = (_correlation(*heads, [axis]) for axis in range(3))
    assert right > 0.6
    assert right > max(upside_down, back_to_front) + 0.3
    assert right > mirrored + 0.01  # a head is nearly its own mirror image
