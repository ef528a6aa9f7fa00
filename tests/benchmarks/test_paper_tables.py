"""What `benchmarks/paper_tables.py` makes of figures, of a brain and of a chest."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from hagan_clinic.evaluation.structures import structure_volumes
from hagan_clinic.imageio import read, write
from hagan_clinic.runtime.exploration.emphysema import mark_emphysema
from hagan_clinic.runtime.exploration.tissues import mark_tissues
from hagan_clinic.volume import Volume, to_canonical

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("paper_tables")


@pytest.fixture
def labelling(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("brightness_labels")


def figures(fid, mmd=0.1, covered=0.9, ms_ssim=0.95):
    halves = {"fid": [fid - 1, fid + 1], "mmd": [mmd], "coverage": [covered]}
    return {"halves": halves, "ms_ssim": ms_ssim}


def test_an_ablation_stands_over_the_floor_of_its_seed_and_beside_the_whole(study):
    found = [
        {"real": figures(floor), "whole": figures(2 * floor), "without": figures(floor * times)}
        for floor, times in ((2, 5), (4, 6))
    ]
    _, _, real, whole, without = study.table_iv(found).splitlines()
    assert real.startswith("| real | 1.000 ± 0.000 |")
    assert whole.startswith("| whole | 2.000 ± 0.000 |")
    # Paired differences 3 and 4: t = 3.5 / (0.707 / sqrt(2)) = 7 with one degree of freedom.
    assert without.startswith("| without | 5.500 ± 0.707 (p 0.0903) |")


def test_labels_by_brightness_are_the_structures_and_lie_on_the_image(labelling, tmp_path):
    axes = np.indices((40, 40, 40))
    distance = np.sqrt(((axes - 19.5) ** 2).sum(0))
    brain = np.where(axes.sum(0) % 6 < 3, 0.8, 0.6) * (distance < 17)
    brain[distance < 5] = 0.1
    image = Volume(brain.astype(np.float32), np.diag([-4.0, 4, 4, 1]))
    write(image, tmp_path / "image.nii.gz", description="a phantom")
    labelling.main(tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz")
    labels = read(tmp_path / "labels.nii.gz")
    assert labels.grid.same_as(to_canonical(image).grid)
    expected = structure_volumes(to_canonical(image).array, (4, 4, 4))
    ml = {label: np.count_nonzero(labels.array == label) * 0.064 for label in labelling.LABELS}
    assert ml[2] == pytest.approx(expected["deep fluid"])
    assert ml[1] + ml[2] == pytest.approx(expected["fluid"])
    assert ml[3] == pytest.approx(expected["darker tissue"])
    assert ml[4] == pytest.approx(expected["brighter tissue"])
    assert min(ml[2], ml[3], ml[4]) > 10


def test_copies_of_a_chest_differ_in_lung_fat_and_bone(study, test_data, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "COPIES", 3)
    study.vary(test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz", tmp_path / "chests")
    rows = []
    for file in sorted((tmp_path / "chests").glob("patient*_ct.nii.gz")):
        chest = to_canonical(read(file))
        marked = (mark(chest.array, chest.spacing) for mark in (mark_emphysema, mark_tissues))
        rows.append([figure.value for one in marked for figure in one.figures])
    lung, _, fat, bone = np.array(rows).T
    assert len(rows) == 3
    for values, least in ((lung, 1700), (fat, 4800), (bone, 800)):
        assert values.min() > least
        assert np.ptp(values) > 0.05 * values.mean()
