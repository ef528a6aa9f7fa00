import io
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from hagan_clinic.data.cohort import Subject, find_cohort
from hagan_clinic.data.prepared import box_shape, check_size, prepare_cohort
from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio import read
from hagan_clinic.intensity import source_window, target_window, to_unit
from hagan_clinic.preparation import prepare, restore
from hagan_clinic.recipe import Recipe
from hagan_clinic.volume import resample, to_canonical

RECIPE = Recipe(("t1",), "flair", (2.0, 2.0, 2.0), 16, 8, 1.0)
HALF_STEP = 1 / 255 + 1e-6

needs_data = pytest.mark.skipif("HAGAN_TEST_DATA" not in os.environ, reason="needs HAGAN_TEST_DATA")


def head(folder, name="p", *, masked=True, shape=(50, 60, 48), seed=0):
    """A head of 2 mm voxels in RAS: skull around a brain, T1, FLAIR and mask."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.arange(side) - side / 2 for side in shape), indexing="ij")
    radius = np.sqrt(x**2 + (y / 1.2) ** 2 + z**2)
    brain, skull = radius < 15, (radius > 17) & (radius < 20)
    t1 = np.where(brain, 400 + 10 * x, 0) + np.where(skull, 900, 0)
    flair = np.where(brain, 300 - 8 * y, 0) + np.where(skull, 500, 0)
    noise = rng.uniform(0, 40, shape) * (radius < 20)
    files = {}
    for ending, array in (("t1", t1 + noise), ("flair", flair + noise), ("mask", brain)):
        folder.mkdir(exist_ok=True)
        files[ending] = folder / f"{name}_{ending}.nii.gz"
        nib.save(nib.Nifti1Image(array.astype(np.float32), np.diag([2, 2, 2, 1])), files[ending])
    images = {"t1": files["t1"], "flair": files["flair"]}
    return Subject(name, name, images, files["mask"] if masked else None)


@pytest.fixture
def subject(tmp_path):
    return head(tmp_path / "data")


def test_both_forms_share_the_box_and_the_target(subject, tmp_path):
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    assert prepared.shape == (48, 48, 48) and prepared.forms == 2
    source, target, brain = prepared.load()
    stripped, stripped_target, same_brain = prepared.load(stripped=True)
    assert source.shape == stripped.shape == target.shape == brain.shape == (1, 48, 48, 48)
    assert np.array_equal(brain, same_brain)
    inside = brain > 0
    assert np.array_equal(target[inside], stripped_target[inside])
    assert (stripped[~inside] == -1).all() and (stripped_target[~inside] == -1).all()
    assert (source[~inside] > -1).any() and (target[~inside] > -1).any()


def test_a_name_with_a_path_in_it_stays_in_the_cache(subject, tmp_path):
    (prepared,) = prepare_cohort([replace(subject, name="../../p/x")], RECIPE, tmp_path / "cache")
    assert prepared.file.parent == tmp_path / "cache" and prepared.file.is_file()
    assert prepared.name == "../../p/x"


def test_box_is_centred_on_the_brain(subject, tmp_path):
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    for axis in range(3):
        occupied = np.flatnonzero(prepared.load()[2][0].any(axis=tuple({0, 1, 2} - {axis})))
        assert abs(int(occupied[0]) - (47 - int(occupied[-1]))) <= 1


def test_axes_are_inferior_posterior_left_first(subject, tmp_path):
    # T1 grows to the right (the last axis), FLAIR falls to the front (the middle one).
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    source, target, brain = (array[0] for array in prepared.load(stripped=True))
    _, h, w = np.nonzero(brain)
    assert np.corrcoef(w, source[brain > 0])[0, 1] > 0.9
    assert np.corrcoef(h, target[brain > 0])[0, 1] < -0.9


def test_the_same_voxels_in_another_order_of_axes_give_the_same(subject, tmp_path):
    (straight,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    for file, order in ((subject.images["flair"], "SLA"), (subject.mask, "PIR")):
        image = nib.load(file)
        turned = image.as_reoriented(nib.orientations.axcodes2ornt(order))
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), file)
    (turned,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    assert turned.file != straight.file
    for one, other in zip(straight.load(), turned.load(), strict=True):
        assert np.array_equal(one, other)


def test_skull_stripped_subjects_have_one_form(subject, tmp_path):
    mask = read(subject.mask).array > 0
    for file in subject.images.values():
        image = nib.load(file)
        nib.save(nib.Nifti1Image(image.get_fdata() * mask, image.affine), file)
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    assert prepared.forms == 1
    assert np.array_equal(prepared.load()[0], prepared.load(stripped=True)[0])


def test_without_mask_the_filled_foreground_stands_in(tmp_path):
    subject = head(tmp_path / "data", masked=False)
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    source, _, brain = prepared.load()
    assert prepared.forms == 1
    assert brain[0, 24, 24, 24 - 18] == 1  # the gap between brain and skull, dark but inside
    assert (source[brain == 0] == -1).all()


def test_several_sources_become_channels_and_no_target_is_none(subject, tmp_path):
    recipe = replace(RECIPE, sources=("t1", "flair"), target="")
    (prepared,) = prepare_cohort([subject], recipe, tmp_path / "cache")
    source, target, brain = prepared.load()
    assert source.shape == (2, 48, 48, 48) and brain.shape == (1, 48, 48, 48)
    assert target is None
    assert not np.array_equal(source[0], source[1])


def test_another_resolution_resamples_all_alike(subject, tmp_path):
    recipe = replace(RECIPE, spacing=(3.0, 3.0, 3.0))
    (prepared,) = prepare_cohort([subject], recipe, tmp_path / "cache")
    (original,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    assert prepared.shape == (32, 32, 32) and prepared.spacing == (3.0, 3.0, 3.0)
    volume, before = (int(p.load()[2].sum()) for p in (prepared, original))
    assert volume * 27 == pytest.approx(before * 8, rel=0.03)


def test_second_run_reads_the_cache(subject, tmp_path):
    ready = []
    (first,) = prepare_cohort([subject], RECIPE, tmp_path, progress=lambda: ready.append("p"))
    stamp = first.file.stat().st_mtime_ns
    (second,) = prepare_cohort([subject], RECIPE, tmp_path, progress=lambda: ready.append("p"))
    assert second == first and second.file.stat().st_mtime_ns == stamp
    assert ready == ["p", "p"]


@pytest.mark.parametrize("change", ["image", "mask", "recipe", "shape"])
def test_change_of_content_is_prepared_anew(subject, tmp_path, change):
    (first,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    recipe, shape = RECIPE, None
    if change == "image":
        head(subject.images["t1"].parent, seed=1)
    elif change == "mask":
        subject = replace(subject, mask=None)
    elif change == "recipe":
        recipe = replace(RECIPE, percentiles=(1.0, 99.0))
    else:
        shape = (64, 48, 48)
    (second,) = prepare_cohort([subject], recipe, tmp_path / "cache", shape=shape)
    assert second.file != first.file
    assert first.file.exists()


def test_fields_that_do_not_touch_the_volumes_keep_the_cache(subject, tmp_path):
    (first,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    calibrated = replace(RECIPE, interval_factor=2.5, halo=12)
    assert prepare_cohort([subject], calibrated, tmp_path / "cache") == [first]


def test_damaged_cache_file_is_prepared_anew(subject, tmp_path):
    (first,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    whole = first.file.read_bytes()
    other = io.BytesIO()
    np.save(other, np.zeros((4, 16, 16, 16), np.uint8))
    for damaged in (whole[:-1000], b"", b"not an array", other.getvalue()):
        first.file.write_bytes(damaged)
        assert prepare_cohort([subject], RECIPE, tmp_path / "cache") == [first]
        assert first.file.read_bytes() == whole


def test_interrupted_preparation_leaves_nothing(subject, tmp_path, monkeypatch):
    def interrupted(file, array):
        Path(file).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("hagan_clinic.data.prepared.np.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_cohort([subject], RECIPE, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_bad_subject_is_named(subject, tmp_path):
    other = head(tmp_path / "data", "q")
    constant = nib.Nifti1Image(np.zeros((50, 60, 48), np.float32), np.diag([2, 2, 2, 1]))
    nib.save(constant, other.images["t1"])
    with pytest.raises(InputError, match=r"q: .*empty"):
        prepare_cohort([subject, other], RECIPE, tmp_path / "cache")
    nib.save(constant, subject.mask)
    with pytest.raises(InputError, match="p: the brain mask is empty"):
        box_shape([subject], RECIPE)


def test_shape_that_is_no_multiple_is_refused(subject, tmp_path):
    with pytest.raises(InputError, match=r"\(48, 50, 48\); expected multiples of 16"):
        prepare_cohort([subject], RECIPE, tmp_path, shape=(48, 50, 48))


def test_cache_folder_that_cannot_be_made_is_an_output_error(subject, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_cohort([subject], RECIPE, tmp_path / "file" / "cache")


def test_brains_that_the_box_cuts_are_named(subject, tmp_path):
    small = prepare_cohort([subject], RECIPE, tmp_path / "cache", shape=(32, 32, 32))
    (warning,) = check_size(small)
    assert warning == "the training box of 32x32x32 voxels cuts the brain of p; give a larger size"
    assert check_size(prepare_cohort([subject], RECIPE, tmp_path / "cache")) == []


def noisy_head_with_a_neck(folder):
    """A subject without a mask, and its T1: a head on a neck and shoulders, specks in the air."""
    shape = (100, 120, 140)
    x, y, z = np.meshgrid(*(2.0 * np.arange(side) for side in shape), indexing="ij")
    skull = ((x - 100) / 75) ** 2 + ((y - 120) / 95) ** 2 + ((z - 180) / 85) ** 2 < 1
    neck = (((x - 100) / 60) ** 2 + ((y - 110) / 60) ** 2 < 1) & (z < 180)
    shoulders = (np.abs(x - 100) < 80) & (y < 160) & (z < 30)
    rng = np.random.default_rng(2)
    values = np.where(skull | neck | shoulders, rng.uniform(300, 900, shape), 0)
    values[rng.uniform(size=shape) > 0.9999] = 800
    folder.mkdir()
    images = {name: folder / f"p_{name}.nii.gz" for name in ("t1", "flair")}
    for file in images.values():
        nib.save(nib.Nifti1Image(values.astype(np.float32), np.diag([2, 2, 2, 1])), file)
    return Subject("p", "p", images, None), read(images["t1"])


def test_without_mask_training_sees_what_deployment_sees(tmp_path):
    subject, t1 = noisy_head_with_a_neck(tmp_path / "data")
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache", shape=(80, 96, 80))
    deployed = prepare([t1], replace(RECIPE, box=(80, 96, 80)))
    assert np.abs(prepared.load()[0] - deployed.array).max() <= HALF_STEP
    top = deployed.grid.affine[2, 3] + 2 * 80  # mm
    assert 255 < top < 275  # at the head's, whose neck reaches 260 mm below it


def test_with_mask_training_sees_what_deployment_sees_with_it(subject, tmp_path):
    (prepared,) = prepare_cohort([subject], RECIPE, tmp_path / "cache")
    t1, mask = read(subject.images["t1"]), read(subject.mask)
    boxed = replace(RECIPE, box=prepared.shape)
    placed = prepare([t1], boxed, mask=mask)
    at_box = resample(to_canonical(t1), placed.grid).array
    window = source_window(to_canonical(t1).array, t1.spacing)
    assert np.abs(prepared.load()[0][0] - to_unit(at_box, window)).max() <= HALF_STEP


def test_noise_beside_the_head_does_not_widen_the_box(tmp_path):
    subject, t1 = noisy_head_with_a_neck(tmp_path / "data")
    clean = replace(subject, images={name: tmp_path / f"{name}.nii.gz" for name in subject.images})
    array = ndimage.binary_opening(t1.array > 0) * t1.array
    for file in clean.images.values():
        nib.save(nib.Nifti1Image(array, t1.affine), file)
    assert box_shape([subject], RECIPE) == box_shape([clean], RECIPE)


@needs_data
def test_real_head_is_prepared_as_at_deployment_in_both_forms(tmp_path):
    subject = find_cohort(Path(os.environ["HAGAN_TEST_DATA"]) / "lgg_mni")[0]
    recipe = replace(RECIPE, spacing=(1.5, 1.5, 1.5))
    (prepared,) = prepare_cohort([subject], recipe, tmp_path)
    assert prepared.shape == (112, 144, 112)

    t1, flair, mask = (read(file) for file in (*subject.images.values(), subject.mask))
    brain = mask.array > 0.5
    expected = to_unit(flair.array, target_window(flair.array, brain))
    for stripped, volume in ((False, t1), (True, t1.with_array(t1.array * brain))):
        source, target, prepared_brain = prepared.load(stripped)
        deployed = prepare([volume], recipe)
        at_scanner = restore(deployed.array[0], deployed, fill=-1.0).array
        for ours, theirs in ((source, at_scanner), (target, expected)):
            values = np.sort(ours[prepared_brain > 0])
            assert np.abs(values - np.sort(theirs[brain])).max() <= HALF_STEP


@needs_data
def test_the_box_holds_every_brain_of_a_real_cohort():
    cohort = find_cohort(Path(os.environ["HAGAN_TEST_DATA"]) / "lgg_mni")
    assert box_shape(cohort, replace(RECIPE, spacing=(1.5,) * 3)) == (112, 144, 112)
    cohort = find_cohort(Path(os.environ["HAGAN_TEST_DATA"]) / "pairs_1mm")
    assert box_shape(cohort, replace(RECIPE, spacing=(1.0,) * 3)) == (160, 208, 160)
