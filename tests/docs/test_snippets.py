"""The Python of the docs."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import hagan_clinic
from hagan_clinic.imageio import read
from hagan_clinic.preparation import network_grid
from hagan_clinic.runtime import find_model, load_model
from hagan_clinic.volume import Volume, crop_or_pad, resample

ROOT = Path(__file__).parents[2]
T1 = ROOT / "examples" / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"


def snippet(page):
    """The Python of a page, one fence after the other."""
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.M)
    )


def test_the_pieces_train_in_a_loop_of_ones_own(small_cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cohort").symlink_to(small_cohort)
    torch.manual_seed(0)
    names = {}
    exec(snippet("docs/how-to/use-the-pieces-in-your-own-loop.md"), names)
    losses = names["losses"]
    assert len(losses) == 20
    assert np.median(losses[-9:]) < 0.8 * np.median(losses[:5])


@pytest.mark.parametrize(
    ("start", "size"),
    [((-30, -30, -30), (180, 180, 180)), ((12, 20, 10), (100, 100, 90))],
    ids=["wide scan", "narrow scan"],
)
def test_the_model_without_this_package_gives_what_translate_gives(
    tmp_path, monkeypatch, start, size
):
    monkeypatch.chdir(tmp_path)
    model = find_model("t1_to_flair")
    Path("t1_to_flair.onnx").symlink_to(model)
    scan = read(T1)
    scan = resample(scan, network_grid(scan.grid, load_model(model).recipe.spacing))
    scan = crop_or_pad(scan, start, size)
    names = {"t1": scan.array, "brain": scan.array > 0}
    exec(snippet("docs/how-to/run-the-model-without-this-package.md"), names)

    mask = Volume(names["brain"].astype(np.float32), scan.affine)
    expected = hagan_clinic.translate(scan, mask=mask, device="cpu")
    assert names["flair"].shape == scan.shape
    assert np.abs(names["flair"] - expected.volume.array).max() < 1e-3
    # `translate` marks also what tissue encloses as unknown.
    differs = np.abs(names["half_width"] - expected.uncertainty.array) > 1e-3
    assert set(names["half_width"][differs]) <= {0}
    assert set(expected.uncertainty.array[differs]) <= {1}
    assert differs.mean() < 0.02
    if min(size) < 112:
        assert (names["before"] + names["after"]).any()  # the box reaches beyond


@pytest.fixture
def beside(small_cohort, tmp_path, monkeypatch):
    """A working folder with `cohort`, whose FLAIR is of its T1, and the scan `t1.nii.gz`."""
    monkeypatch.chdir(tmp_path)
    Path("cohort").symlink_to(small_cohort)
    Path("t1.nii.gz").symlink_to(T1)


@pytest.mark.slow
def test_the_python_of_the_reference_runs(beside):
    names = {}
    exec(snippet("docs/reference/python.md"), names)
    whole, slab = names["target"], names["slab"]
    assert (slab - whole[:, :, 16:48]).abs().max() < 1e-4
    assert Path("flair.nii.gz").exists() and names["run"].step == 8
    assert names["part"].shape == (1, 1, 8, 64, 64) and names["z"].shape == (1, 64)


@pytest.mark.slow
def test_the_page_on_another_pair_trains_and_translates_it(beside, tmp_path):
    for scan in list(Path("cohort").rglob("*_t1.nii.gz")):
        other = Path("pairs") / scan.parent.name / scan.name.replace("_t1", "_t2")
        other.parent.mkdir(parents=True)
        other.symlink_to(scan.resolve())
        flair = scan.name.replace("_t1", "_flair")
        (other.parent / flair).symlink_to(scan.resolve().with_name(flair))
    Path("cohort").unlink()
    Path("pairs").rename("cohort")
    Path("t2.nii.gz").symlink_to(next(Path("cohort").rglob("*_t2.nii.gz")).resolve())
    names = {}
    exec(snippet("docs/how-to/train-another-pair.md"), names)
    assert names["flair"].shape == read("t2.nii.gz").shape
