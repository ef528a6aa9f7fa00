import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.labels import LabelDice, check_labels, dice_of_files, dice_of_labels
from hagan_clinic.imageio import read, write


@pytest.fixture
def maps(test_data):
    """The real lesion of a patient in two halves, and the same moved."""
    name = "TCGA_CS_4941_19960909"
    lesion = read(test_data / "lgg_mni" / name / f"{name}_seg.nii.gz").array > 0
    middle = np.median(np.nonzero(lesion)[2])
    halves = lesion * (1 + (np.arange(lesion.shape[2]) > middle))
    return np.roll(halves, 3, 2), halves


def test_dice_is_that_of_monai(maps):
    one, other = (
        torch.from_numpy(np.stack([labels == label for label in range(3)])[None]).float()
        for labels in maps
    )
    expected = compute_dice(one, other, include_background=False)[0].tolist()
    assert list(dice_of_labels(*maps).values()) == pytest.approx(expected, abs=1e-6)


def test_a_structure_that_one_map_lacks_counts_zero_and_one_that_both_lack_not_at_all():
    one, other = np.array([0, 1, 1, 2]), np.array([0, 1, 0, 3])
    assert dice_of_labels(one, other) == {1: pytest.approx(2 / 3), 2: 0, 3: 0}


def test_maps_that_do_not_match_are_named(maps, tmp_path, test_data):
    name = "TCGA_CS_4941_19960909"
    file = test_data / "lgg_mni" / name / f"{name}_seg.nii.gz"
    blurred = read(file)
    write(blurred.with_array(blurred.array * 0.4), tmp_path / "blurred.nii", description="x")
    with pytest.raises(InputError, match="no whole numbers"):
        dice_of_files(tmp_path / "blurred.nii", file)
    rows = [LabelDice("m", "s", "p", label, dice) for label, dice in ((1, 0.0), (1000, 0.0))]
    with pytest.raises(InputError, match=r"no structure .* of m overlaps .*labels 1, 1000"):
        check_labels(rows)
    (warning,) = check_labels([*rows, LabelDice("m", "s2", "p2", 1, 0.5)])
    assert "label 1000 never overlaps" in warning
