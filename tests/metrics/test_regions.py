import numpy as np
import pytest
import torch
from monai.metrics.regression import compute_ms_ssim

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read
from hagan_clinic.metrics import Reference, nmse, psnr, ssim
from hagan_clinic.metrics.image_quality import ssim_map, window_box
from hagan_clinic.metrics.regions import TISSUE
from hagan_clinic.metrics.similarity import scale_weights

SHAPE = (50, 52, 48)


@pytest.fixture(scope="module")
def case():
    """Reference, prediction, brain and tumour."""
    rng = np.random.default_rng(3)
    reference, prediction = rng.random((2, *SHAPE))
    brain = np.zeros(SHAPE, dtype=bool)
    brain[4:46, 3:49, 2:46] = True
    tumour = np.zeros_like(brain)
    tumour[14:27, 14:27, 14:27] = True
    return reference, prediction, brain, tumour


def monai_ms_ssim(one, other):
    return float(
        compute_ms_ssim(
            torch.from_numpy(one)[None, None],
            torch.from_numpy(other)[None, None],
            spatial_dims=3,
            weights=scale_weights(min(one.shape)),
        )
    )


def test_each_region_gets_the_figures_of_that_region(case):
    reference, prediction, brain, tumour = case
    scores = Reference(reference, brain, {"tumour": tumour}).score(prediction)
    assert list(scores) == ["brain", "tumour", TISSUE, "whole"]
    for name, region in {"brain": brain, "tumour": tumour, "whole": None}.items():
        assert scores[name].psnr == pytest.approx(psnr(prediction, reference, region), abs=1e-9)
        assert scores[name].nmse == pytest.approx(nmse(prediction, reference, region), abs=1e-9)
    expected = ssim_map(prediction, reference, brain)[tumour].mean()
    assert scores["tumour"].ssim == pytest.approx(expected, abs=1e-9)
    assert scores["brain"].ssim == pytest.approx(ssim(prediction, reference, brain), abs=1e-9)
    assert scores["whole"].ssim == pytest.approx(ssim(prediction, reference), abs=1e-9)


def test_ms_ssim_of_a_real_pair_is_that_of_monai(test_data):
    name = "TCGA_CS_4941_19960909"
    t1, flair = (
        read(test_data / "lgg_mni" / name / f"{name}_{kind}.nii.gz").array[::2, ::2, ::2] / 255
        for kind in ("t1", "flair")
    )
    brain = read(test_data / "lgg_mni" / "brain_mask.nii.gz").array[::2, ::2, ::2] > 0
    scores = Reference(flair, brain, {}).score(t1)
    assert len(scale_weights(min(flair.shape))) == 3
    assert scores["whole"].ms_ssim == pytest.approx(monai_ms_ssim(t1, flair), abs=1e-5)
    box = window_box(brain)
    inside = [(image * brain)[box] for image in (t1, flair)]
    assert scores["brain"].ms_ssim == pytest.approx(monai_ms_ssim(*inside), abs=1e-5)


@pytest.mark.parametrize("slices", [11, 21])
def test_few_slices_have_one_scale_which_monai_confirms(case, slices):
    reference, prediction, brain, _ = (image[10 : 10 + slices] for image in case)
    scores = Reference(reference, brain, {}).score(prediction)
    assert scale_weights(slices) == (1.0,)
    assert scores["whole"].ms_ssim == pytest.approx(monai_ms_ssim(prediction, reference), abs=1e-5)
    assert np.isfinite(scores["brain"].ms_ssim)
    assert len(scale_weights(22)) == 2


def test_fewer_slices_than_a_window_have_all_figures_but_ms_ssim(case):
    reference, prediction, brain, tumour = (image[20:30] for image in case)
    scores = Reference(reference, brain, {"tumour": tumour}).score(prediction)
    for name, region in {"brain": brain, "tumour": tumour, "whole": None}.items():
        assert scores[name].psnr == pytest.approx(psnr(prediction, reference, region), abs=1e-9)
        assert scores[name].nmse == pytest.approx(nmse(prediction, reference, region), abs=1e-9)
        assert np.isfinite(scores[name].ssim)
        assert np.isnan(scores[name].ms_ssim)


def test_parts_of_the_brain_have_no_ms_ssim(case):
    reference, prediction, brain, tumour = case
    scores = Reference(reference, brain, {"tumour": tumour}).score(prediction)
    assert np.isnan(scores["tumour"].ms_ssim)
    assert scores["brain"].ms_ssim != scores["whole"].ms_ssim


def test_what_lies_outside_the_brain_changes_the_whole_volume_alone(case):
    reference, prediction, brain, tumour = case
    scored = Reference(reference, brain, {"tumour": tumour})
    one, other = scored.score(prediction), scored.score(np.where(brain, prediction, 0))
    assert one["brain"] == other["brain"]
    assert one["whole"] != other["whole"]


def test_an_empty_region_is_left_out(case):
    reference, prediction, brain, _ = case
    scores = Reference(reference, brain, {"tumour": np.zeros(SHAPE)}).score(prediction)
    assert list(scores) == ["brain", TISSUE, "whole"]


def test_what_cannot_be_scored_is_named(case):
    reference, prediction, brain, _ = case
    with pytest.raises(InputError, match="region is empty"):
        Reference(reference, np.zeros(SHAPE), {})
    with pytest.raises(InputError, match="zero all over the brain"):
        Reference(np.where(brain, 0, reference), brain, {})
    with pytest.raises(InputError, match=r"expected \[0, 1\]"):
        Reference(reference * 255, brain, {})
    with pytest.raises(InputError, match="shape"):
        Reference(reference, brain, {}).score(prediction[1:])
