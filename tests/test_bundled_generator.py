"""The generator that ships, on the real patient that ships."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import hagan_clinic
from hagan_clinic.imageio import read
from hagan_clinic.intensity import from_unit, target_window, to_unit
from hagan_clinic.metrics.image_quality import psnr, ssim
from hagan_clinic.preparation import prepare, restore
from hagan_clinic.runtime import find_model, load_model
from hagan_clinic.runtime.library import verified
from hagan_clinic.runtime.network import Network
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan

SAMPLE = Path(__file__).parents[1] / "examples" / "open_ms_patient07"
T1 = SAMPLE / "open_ms_patient07_t1.nii.gz"
FLAIR = SAMPLE / "open_ms_patient07_flair.nii.gz"


@pytest.fixture(scope="module")
def translated(tmp_path_factory):
    path = tmp_path_factory.mktemp("translated") / "flair.nii.gz"
    return path, hagan_clinic.translate(T1, path)


def test_it_is_whole_small_and_says_what_it_is():
    path = find_model("t1_to_flair")
    folder = path.parent
    assert verified(path)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 16 * 2**20
    model = load_model(path)
    assert model.card.licence == "CC-BY-NC-SA-4.0"
    assert re.search("not for diagnosis", model.card.intended_use, re.IGNORECASE)
    assert model.recipe.sources == ("t1",) and model.recipe.target == "flair"
    assert model.recipe.spacing == (1.0, 1.0, 1.0)
    assert model.recipe.box == tuple(model.training["box"]) == (160, 192, 160)
    assert model.recipe.box_grows
    assert model.recipe.interval_factor > 1


def test_the_result_lies_on_the_grid_of_the_scan(translated):
    path, _ = translated
    scan, result = nib.load(T1), nib.load(path)
    assert result.shape == scan.shape
    for kind in ("sform", "qform"):
        one, code = getattr(scan, f"get_{kind}")(coded=True)
        other, same = getattr(result, f"get_{kind}")(coded=True)
        assert code == same and np.array_equal(one, other)
    assert b"NOT FOR DIAGNOSIS" in result.header["descrip"].item()


def test_it_is_closer_to_the_real_flair_than_the_t1_is(translated):
    """In the brain, each real image on the scale of its own percentiles there."""
    _, translation = translated
    t1, flair = read(T1).array, read(FLAIR).array
    brain = (flair > 0) & (t1 > 0)
    copied, real = (from_unit(to_unit(image, target_window(image, brain))) for image in (t1, flair))
    synthetic = translation.volume.array
    assert psnr(synthetic, real, brain) > psnr(copied, real, brain) + 2
    assert ssim(synthetic, real, brain) > ssim(copied, real, brain) + 0.2


def test_slab_translation_equals_whole_volume():
    model = load_model(find_model("t1_to_flair"))
    network = Network(model, choose_device("cpu"))
    recipe = model.recipe
    array = prepare([read(T1)], recipe).array
    expected = network.run(array, SlabPlan(array.shape[1], array.shape[1], recipe.halo))
    found = network.run(array, SlabPlan(array.shape[1], 32, recipe.halo))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < 1e-4


@pytest.fixture(scope="module")
def in_network():
    """The sample as the network sees it, what makes a synthetic volume of that, and the volume."""
    model = load_model(find_model("t1_to_flair"))
    network = Network(model, choose_device("cpu"))
    prepared = prepare([read(T1)], model.recipe)

    def run(source):
        return network.run(source, SlabPlan(source.shape[1], source.shape[1], 32))[0]

    return prepared, run, run(prepared.array)


def test_more_air_changes_nothing(in_network):
    prepared, run, alone = in_network
    air = ((16, 0), (16, 16), (0, 32))
    more = run(np.pad(prepared.array, ((0, 0), *air), constant_values=-1))
    _, h, w = alone.shape
    same = np.abs(more[16:, 16 : 16 + h, :w] - alone)[8:-8, 8:-8, 8:-8]
    assert same.max() < 1e-4


def test_a_shift_by_two_voxels_changes_less_than_a_fifth_of_a_decibel(in_network):
    prepared, run, alone = in_network
    t1, flair = read(T1).array, read(FLAIR).array
    brain = (flair > 0) & (t1 > 0)
    real = from_unit(to_unit(flair, target_window(flair, brain)))

    def closeness(network_output):
        volume = restore(from_unit(network_output), prepared, fill=0.0)
        return psnr(volume.array, real, brain)

    for shift in ((2, 2, 2), (0, 0, -2)):
        away = np.roll(prepared.array, shift, (1, 2, 3))
        back = np.roll(run(away), [-step for step in shift], (0, 1, 2))
        assert closeness(back) == pytest.approx(closeness(alone), abs=0.2)
