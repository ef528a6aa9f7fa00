import numpy as np
import pytest

from hagan_clinic.imageio import read
from hagan_clinic.intensity import from_unit, target_window, to_unit
from hagan_clinic.metrics import Reference
from hagan_clinic.metrics.regions import BRAIN, TISSUE
from hagan_clinic.metrics.tissue_scale import MIDDLE, on_tissue_scale


@pytest.fixture(scope="module")
def brain_and_flair(test_data):
    brain = read(test_data / "lgg_mni" / "brain_mask.nii.gz").array[::2, ::2, ::2] > 0
    name = "TCGA_CS_4941_19960909"
    flair = read(test_data / "lgg_mni" / name / f"{name}_flair.nii.gz").array[::2, ::2, ::2]
    return brain, flair.astype(np.float32)


def test_the_scale_is_that_of_the_image_not_of_its_units(brain_and_flair):
    brain, flair = brain_and_flair
    scaled = on_tissue_scale(flair, brain)
    assert np.median(scaled[brain]) == pytest.approx(MIDDLE, abs=1e-6)
    assert np.percentile(scaled[brain], 0.5) == pytest.approx(0, abs=1e-6)
    assert np.abs(on_tissue_scale(40 + 3 * flair, brain) - scaled).max() < 1e-5


def test_a_bright_lesion_bends_percentiles_and_not_this_scale(brain_and_flair):
    """A sphere of a fiftieth of the brain, twice as bright as anything in it."""
    brain, flair = brain_and_flair
    centre = [int(axis.mean()) for axis in np.nonzero(brain)]
    distance = sum((g - c) ** 2 for g, c in zip(np.indices(brain.shape), centre, strict=True))
    lesion = brain & (distance <= np.sort(distance[brain])[brain.sum() // 50])
    marked = np.where(lesion, 2 * flair[brain].max(), flair)
    tissue = brain & ~lesion
    medians = {
        name: [float(np.median(scale(image)[tissue])) for image in (flair, marked)]
        for name, scale in {
            "percentiles": lambda image: from_unit(to_unit(image, target_window(image, brain))),
            "tissue": lambda image: on_tissue_scale(image, brain),
        }.items()
    }
    before, after = medians["percentiles"]
    assert after < 0.7 * before
    before, after = medians["tissue"]
    assert after == pytest.approx(before, abs=0.02)


def test_a_prediction_that_is_off_in_brightness_alone_is_right_on_this_scale(brain_and_flair):
    brain, flair = brain_and_flair
    reference = from_unit(to_unit(flair, target_window(flair, brain)))
    scores = Reference(reference, brain, {}).score(0.1 + 0.6 * reference)
    assert scores[BRAIN].psnr < 25
    assert scores[TISSUE].psnr > 40


def test_an_image_without_contrast_has_one_value():
    brain = np.ones((12, 12, 12), dtype=bool)
    assert (on_tissue_scale(np.full(brain.shape, 0.3, np.float32), brain) == MIDDLE).all()
