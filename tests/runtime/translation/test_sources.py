"""Scans and masks: which are taken together, and which are refused."""

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.runtime import translate
from hagan_clinic.volume import Volume, crop_or_pad, to_canonical


def test_synthetic_result_is_not_translated_again(scan, toy_generator):
    out = scan.with_name("flair.nii.gz")
    translate(scan, out, model=toy_generator, device="cpu")
    scan.with_name("flair.json").unlink()
    with pytest.raises(InputError, match="this image is synthetic"):
        translate(out, model=toy_generator, device="cpu")


def test_contrast_enhanced_scan_needs_to_be_allowed(scan, toy_generator):
    enhanced = scan.rename(scan.with_name("t1ce.nii.gz"))
    with pytest.raises(InputError, match="--allow-contrast"):
        translate(enhanced, model=toy_generator, device="cpu")
    assert translate(enhanced, model=toy_generator, device="cpu", allow_contrast=True)


def test_mask_decides_the_intensity_window(scan, toy_generator):
    source = read(scan)
    mask = source.with_array((source.array > 600).astype(np.float32))
    plain = translate(source, model=toy_generator, device="cpu")
    masked = translate(source, model=toy_generator, device="cpu", mask=mask)
    assert np.abs(plain.volume.array - masked.volume.array).max() > 0.01


def test_mask_may_have_its_axes_in_another_order(scan, toy_generator):
    source = read(scan)
    mask = source.with_array((source.array > 600).astype(np.float32))
    turned = to_canonical(mask)
    assert turned.shape != mask.shape
    one, other = (
        translate(source, model=toy_generator, device="cpu", mask=given).volume.array
        for given in (mask, turned)
    )
    assert np.array_equal(one, other)


@pytest.fixture
def two_sources(make_generator, tmp_path):
    return make_generator(tmp_path / "two.onnx", sources=("t1", "t2"))


def test_several_sources_are_taken_by_name_in_any_order(scan, two_sources):
    t1 = read(scan)
    t2 = t1.with_array(np.where(t1.array > 0, 1000 - t1.array, 0))
    one, other, swapped = (
        translate(sources, model=two_sources, device="cpu").volume.array
        for sources in ({"t1": t1, "t2": t2}, {"t2": t2, "t1": t1}, {"t1": t2, "t2": t1})
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, swapped)


def test_wrong_number_of_sources_is_named(scan, two_sources, toy_generator):
    with pytest.raises(InputError, match=r"needs 2 \(t1, t2\): give --source t1=FILE --source t2="):
        translate(scan, model=two_sources, device="cpu")
    with pytest.raises(InputError, match="given t1, t3, and this model translates t1 \\+ t2"):
        translate({"t1": scan, "t3": scan}, model=two_sources, device="cpu")
    with pytest.raises(InputError, match="given t2, and this model translates t1 to flair"):
        translate({"t2": scan}, model=toy_generator, device="cpu")


def test_sources_may_have_their_axes_in_another_order(scan, two_sources):
    t1 = read(scan)
    t2 = t1.with_array(np.where(t1.array > 0, 1000 - t1.array, 0))
    one, other = (
        translate({"t1": t1, "t2": given}, model=two_sources, device="cpu").volume.array
        for given in (t2, to_canonical(t2))
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize("shape", [(100, 64, 1), (100, 64, 2), (3, 64, 72), (100, 4, 72)])
def test_a_fragment_of_a_head_is_refused(shape, scan, toy_generator):
    whole = read(scan)
    middle = [(all_ - some) // 2 for all_, some in zip(whole.shape, shape, strict=True)]
    fragment = crop_or_pad(whole, middle, shape)
    with pytest.raises(InputError, match=r"t1 has a field of view of .* it is a fragment"):
        translate(fragment, model=toy_generator, device="cpu")


def test_sources_on_different_grids_are_refused(scan, two_sources):
    t1 = read(scan)
    moved = Volume(t1.array, t1.affine @ nib.affines.from_matvec(np.eye(3), [5, 0, 0]))
    with pytest.raises(InputError, match="different grids"):
        translate({"t1": t1, "t2": moved}, model=two_sources, device="cpu")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 40, 40), np.int16), "the image is empty"),
        (np.full((40, 40, 40), 7, np.int16), "all voxels have the value 7"),
    ],
)
def test_images_without_contrast_are_refused_and_leave_nothing(
    tmp_path, toy_generator, array, message
):
    nib.save(nib.Nifti1Image(array, np.diag([4.0, 4, 4, 1])), tmp_path / "t1.nii.gz")
    with pytest.raises(InputError, match=message):
        translate(
            tmp_path / "t1.nii.gz",
            tmp_path / "flair.nii.gz",
            model=toy_generator,
            report=tmp_path / "r.json",
            device="cpu",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["t1.nii.gz"]
