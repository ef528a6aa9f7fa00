from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hagan_clinic.conditional.validation import SCALE_SHOWN, validate_translation
from hagan_clinic.data.prepared import PreparedSubject
from hagan_clinic.errors import InputError

SHAPE = (16, 24, 20)
CPU = torch.device("cpu")
C1 = 0.01**2
"""Of SSIM, for a range of 1. Where both images are even, SSIM is (2ab + C1) / (a² + b² + C1)."""


class Halved(nn.Module):
    """Half the source, and a tenth of its distance from -1 as scale."""

    def forward(self, source):
        return source / 2, (source + 1) / 10


def unit(code):
    """A stored byte on [0, 1]."""
    return code / 255


def halved(code):
    """What `Halved` makes of a stored byte, on [0, 1]."""
    return ((2 * unit(code) - 1) / 2 + 1) / 2


def psnr(a, b):
    return -10 * np.log10((a - b) ** 2)


def ssim(a, b):
    return (2 * a * b + C1) / (a**2 + b**2 + C1)


def even_subject(folder, name, head, stripped, target):
    """A brain that fills the box, each image of one value."""
    values = [head, *([] if stripped is None else [stripped]), target, 1]
    file = folder / f"{name}.npy"
    np.save(file, np.stack([np.full(SHAPE, value, np.uint8) for value in values]))
    forms = 1 if stripped is None else 2
    return PreparedSubject(name, name, file, 1, forms, True, SHAPE, (1.0, 1.0, 1.0))


def test_metrics_are_those_worked_out_by_hand(tmp_path):
    subjects = [
        even_subject(tmp_path, "a", head=200, stripped=150, target=100),
        even_subject(tmp_path, "b", head=80, stripped=40, target=220),
    ]
    metrics = validate_translation(Halved(), subjects, CPU).metrics
    heads = [(halved(200), unit(100)), (halved(80), unit(220))]
    stripped = [(halved(150), unit(100)), (halved(40), unit(220))]
    assert metrics["psnr_head"] == pytest.approx(np.mean([psnr(*p) for p in heads]), rel=1e-5)
    assert metrics["psnr_stripped"] == pytest.approx(
        np.mean([psnr(*p) for p in stripped]), rel=1e-5
    )
    assert metrics["psnr"] == pytest.approx(np.mean([psnr(*p) for p in heads + stripped]), rel=1e-5)
    assert metrics["ssim"] == pytest.approx(np.mean([ssim(*p) for p in heads + stripped]), rel=1e-3)


def test_the_interval_factor_holds_nine_tenths_of_the_voxels(tmp_path):
    # Four equal shares of voxels, each of one ratio: nine tenths end within the largest.
    subjects = [
        even_subject(tmp_path, "a", head=200, stripped=150, target=100),
        even_subject(tmp_path, "b", head=80, stripped=40, target=220),
    ]
    pairs = [(200, 100), (150, 100), (80, 220), (40, 220)]
    ratios = [abs((unit(s) - 0.5) - (2 * unit(t) - 1)) / (2 * unit(s) / 10) for s, t in pairs]
    factor = validate_translation(Halved(), subjects, CPU).metrics["interval_factor"]
    assert factor == pytest.approx(max(ratios), rel=1e-4)


def test_metrics_are_of_the_brain_alone(tmp_path):
    subject = even_subject(tmp_path, "a", head=200, stripped=None, target=100)
    stored = np.load(subject.file)
    stored[-1, :8] = 0
    stored[0, :8] = np.random.default_rng(0).integers(0, 256, (8, *SHAPE[1:]))
    np.save(subject.file, stored)
    metrics = validate_translation(Halved(), [subject], CPU).metrics
    assert metrics["psnr"] == pytest.approx(psnr(halved(200), unit(100)), rel=1e-5)
    assert "psnr_head" not in metrics


def test_forms_are_compared_on_subjects_that_have_both(tmp_path):
    both = even_subject(tmp_path, "a", head=200, stripped=150, target=100)
    one = even_subject(tmp_path, "b", head=80, stripped=None, target=220)
    metrics = validate_translation(Halved(), [both, one], CPU).metrics
    head, stripped, alone = (
        psnr(halved(code), unit(target)) for code, target in [(200, 100), (150, 100), (80, 220)]
    )
    assert metrics["psnr_head"] == pytest.approx(head, rel=1e-5)
    assert metrics["psnr_stripped"] == pytest.approx(stripped, rel=1e-5)
    assert metrics["psnr"] == pytest.approx(np.mean([head, stripped, alone]), rel=1e-5)


def test_the_score_is_the_psnr_and_the_montage_has_a_row_a_subject(tmp_path):
    subjects = [even_subject(tmp_path, n, head=200, stripped=150, target=100) for n in "abcdef"]
    validation = validate_translation(Halved(), subjects, CPU)
    assert validation.score == validation.metrics["psnr"]
    rows = np.split(validation.montage, 4)
    middles = [
        tile[tile.shape[0] // 2, tile.shape[1] // 2] for tile in np.split(rows[0], 4, axis=1)
    ]
    expected = [unit(150), halved(150), unit(100), SCALE_SHOWN * unit(150) / 10]
    assert np.abs(middles - 255 * np.array(expected)).max() <= 1
    assert all(np.array_equal(row, rows[0]) for row in rows)


def test_the_montage_has_the_patients_right_on_the_left_and_anterior_up(tmp_path):
    subject = even_subject(tmp_path, "a", head=100, stripped=100, target=100)
    codes = np.load(subject.file)
    codes[:, :, SHAPE[1] // 2 :, SHAPE[2] // 2 :] = 250  # anterior, right
    np.save(subject.file, codes)
    tile = np.split(validate_translation(Halved(), [subject], CPU).montage, 4, axis=1)[2]
    assert [tile[60, 30], tile[60, 110], tile[140, 30]] == [250, 100, 100]


def test_a_subject_without_a_target_is_named(tmp_path):
    subject = even_subject(tmp_path, "p7", head=200, stripped=None, target=100)
    np.save(subject.file, np.load(subject.file)[[0, 2]])
    with pytest.raises(InputError, match="p7 has no target image to validate on"):
        validate_translation(Halved(), [replace(subject, has_target=False)], CPU)
