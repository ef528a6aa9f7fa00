import numpy as np
import pytest

from hagan_clinic.evaluation import nmse, psnr, score_regions, ssim
from hagan_clinic.evaluation.metrics import ssim_map


def test_each_region_gets_the_figures_of_that_region():
    rng = np.random.default_rng(3)
    reference, prediction = rng.random((2, 14, 15, 16))
    brain = np.zeros(reference.shape, dtype=bool)
    brain[2:12, 2:12, 2:12] = True
    tumour = np.zeros_like(brain)
    tumour[4:7, 4:7, 4:7] = True
    scores = score_regions(prediction, reference, {"brain": brain, "tumour": tumour}, brain)
    assert scores["tumour"].psnr == psnr(prediction, reference, tumour)
    assert scores["tumour"].nmse == nmse(prediction, reference, tumour)
    expected = ssim_map(prediction, reference, brain)[tumour].mean()
    assert scores["tumour"].ssim == pytest.approx(expected, abs=1e-9)
    assert scores["brain"].ssim == pytest.approx(ssim(prediction, reference, brain), abs=1e-9)


def test_an_empty_region_is_left_out():
    image = np.full((8, 8, 8), 0.5)
    scores = score_regions(image, image, {"all": np.ones((8, 8, 8)), "tumour": np.zeros((8, 8, 8))})
    assert list(scores) == ["all"]
