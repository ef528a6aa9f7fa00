"""Pairs other than T1 to FLAIR, from nothing but their data: train, export, translate."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import hagan_clinic
from hagan_clinic.imageio import read

SHAPE = (26, 32, 26)
AIR, BONE = -1000.0, 700.0


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Heads of one tissue, as T2, PD and CT show it; FLAIR is bright where T2 is dark."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(11)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = sum(axis**2 for axis in axes)
    brain, skull = radius < 0.7, (radius >= 0.7) & (radius < 0.85)
    for number in range(8):
        texture = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.5)
        tissue = np.where(brain, 0.5 + 0.45 * texture / np.abs(texture).max(), 0)
        images = {
            "t2": 200 * tissue,
            "pd": 300 * np.sqrt(tissue),
            "flair": np.where(brain, 250 - 200 * tissue, 0),
            "ct": np.where(skull, BONE, np.where(brain, 80 * tissue, AIR)),
        }
        place = folder / f"p{number}"
        place.mkdir()
        for name, values in images.items():
            image = nib.Nifti1Image(values.astype(np.float32), np.diag([6.0, 6.0, 6.0, 1.0]))
            nib.save(image, place / f"p{number}_{name}.nii.gz")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "settings"),
    [
        (["t2"], {"steps": 40}),
        (["t2", "pd"], {"steps": 60}),
        (["ct"], {"steps": 160, "window": (0, 80)}),
    ],
    ids=["t2", "t2+pd", "ct"],
)
def test_a_pair_is_learnt_from_its_data_and_translates_with_its_file(
    cohort, tmp_path, source, settings
):
    run = hagan_clinic.train(
        data=cohort, source=source, target="flair", output=tmp_path / "run", preset="tiny",
        validate_every=40, checkpoint_every=40, ema=0.9, device="cpu", **settings,
    )  # fmt: skip
    model = hagan_clinic.export(run, tmp_path / "pair.onnx").path
    patient = next(
        name for name in (tmp_path / "run" / "split.csv").read_text().split() if "test" in name
    )
    name = patient.split(",")[0]
    scans = {one: read(cohort / name / f"{name}_{one}.nii.gz") for one in source}
    found = hagan_clinic.translate(scans, model=model, device="cpu").volume
    expected = read(cohort / name / f"{name}_flair.nii.gz")
    assert found.grid.same_as(expected.grid)
    inside = ndimage.binary_erosion(expected.array > 0)
    alike = np.corrcoef(found.array[inside], expected.array[inside])[0, 1]
    copied = np.corrcoef(scans[source[0]].array[inside], expected.array[inside])[0, 1]
    assert copied < -0.9 and alike > 0.5
