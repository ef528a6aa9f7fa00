from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.queue import slab_loader
from hagan_clinic.data.region import prepare_regions, region_files
from hagan_clinic.errors import InputError
from hagan_clinic.recipe import Recipe

RECIPE = Recipe(("t1",), "", (6.0, 6.0, 6.0), 8, 0, 0.0)
SHAPE = (32, 32, 32)
STILL = AugmentConfig.none()


@pytest.fixture(scope="module")
def cohort(small_cohort, tmp_path_factory):
    """Two subjects of the small cohort, prepared, each with its brain as its label map."""
    folder = tmp_path_factory.mktemp("region")
    subjects = []
    for subject in find_cohort(small_cohort, ("t1",), None)[:2]:
        image = nib.load(subject.images["t1"])
        labels = (np.asarray(image.dataobj) > 0).astype(np.uint8) * 3
        file = folder / f"{subject.name}_seg.nii.gz"
        nib.save(nib.Nifti1Image(labels, image.affine), file)
        subjects.append(replace(subject, lesion=file))
    return subjects, prepare_cohort(subjects, RECIPE, folder / "cache", shape=SHAPE)


def test_labels_lie_on_the_prepared_volume_as_1(cohort):
    _, prepared = cohort
    for file, subject in zip(prepare_regions(*cohort, "seg", RECIPE), prepared, strict=True):
        region = np.load(file)
        assert region.shape == (1, *SHAPE) and region.dtype == np.uint8
        assert region.max() == 255
        source, _, _ = subject.load()
        assert ((region > 127) == (source > -1)).mean() > 0.98


def test_a_saliency_map_of_all_keeps_its_values(cohort, tmp_path):
    subjects, _ = cohort
    image = nib.load(subjects[0].images["t1"])
    saliency = np.full(image.shape, 0.4, np.float32)
    nib.save(nib.Nifti1Image(saliency, image.affine), tmp_path / "map.nii.gz")
    first, second = prepare_regions(*cohort, str(tmp_path / "map.nii.gz"), RECIPE)
    assert np.load(first).max() == np.load(second).max() == 102


def test_maps_are_prepared_once_and_again_when_they_change(cohort, tmp_path):
    subjects, prepared = cohort
    (first, _) = prepare_regions(subjects, prepared, "seg", RECIPE)
    before = first.stat().st_mtime_ns
    assert prepare_regions(subjects, prepared, "seg", RECIPE)[0].stat().st_mtime_ns == before
    image = nib.load(subjects[0].lesion)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), tmp_path / "e.nii.gz")
    changed = [replace(subjects[0], lesion=tmp_path / "e.nii.gz")]
    assert np.load(prepare_regions(changed, prepared[:1], "seg", RECIPE)[0]).max() == 0


def test_what_is_missing_is_named(cohort):
    subjects, _ = cohort
    with pytest.raises(InputError, match="1 of 2 subjects have no label map: p1; add"):
        region_files([subjects[0], replace(subjects[1], lesion=None)], "seg")
    with pytest.raises(InputError, match="the region map does not exist"):
        region_files(subjects, "map")


@pytest.mark.parametrize("augment", [STILL, replace(STILL, flip=1.0, affine=1.0)])
def test_a_batch_shows_the_region_moved_as_its_volume_is(cohort, augment):
    subjects, prepared = cohort
    files = prepare_regions(subjects, prepared, "seg", RECIPE)
    scores = [[0.5, -1.0], [float("nan"), 2.0]]
    loader = slab_loader(
        prepared, thickness=4, halo=0, batch_size=4, slabs_per_volume=1, queue_length=4,
        augment=augment, whole=True, regions=files, measurements=scores,
    )  # fmt: skip
    batch = next(loader)
    assert batch["region_whole"].shape == batch["source_whole"].shape == (4, 1, *SHAPE)
    head = batch["source_whole"] > -0.999
    assert ((batch["region_whole"] > 0) == head).float().mean() > 0.97
    assert batch["measurements"].dtype == torch.float32
    found = sorted(map(tuple, batch["measurements"].nan_to_num(9.0).tolist()))
    assert found == [(0.5, -1.0), (0.5, -1.0), (9.0, 2.0), (9.0, 2.0)]
