import shutil

import numpy as np
import pytest

from hagan_clinic.errors import InputError, ModelError, OutputError
from hagan_clinic.imageio import read
from hagan_clinic.runtime import acceptance
from hagan_clinic.runtime.acceptance import EXPECTED, FOLDER, LARGEST, accept, record
from hagan_clinic.runtime.library import bundled_models


@pytest.fixture
def scan():
    """The reference scan of the bundled model: a real head at 2 mm."""
    return bundled_models()["t1_to_flair"].parent / FOLDER / "t1.nii.gz"


@pytest.fixture
def model(tmp_path, toy_generator, scan):
    """A small generator with a reference of its own."""
    path = tmp_path / "toy" / "toy.onnx"
    path.parent.mkdir()
    shutil.copy(toy_generator, path)
    record(path, {"t1": scan})
    return path


def test_the_bundled_model_gives_what_it_gave_at_its_release():
    outcome = accept("t1_to_flair", "cpu")
    assert outcome.passed
    assert [one.subject for one in outcome.comparisons] == ["image", "half_width"]
    assert all(one.voxels > 40_000 and one.largest < LARGEST / 10 for one in outcome.comparisons)


def test_the_reference_is_the_scan_and_what_the_model_makes_of_it(model, scan):
    folder = model.parent / FOLDER
    assert (folder / "t1.nii.gz").read_bytes() == scan.read_bytes()
    with np.load(folder / EXPECTED) as expected:
        assert expected["image"].shape == tuple(-(-n // 2) for n in read(scan).shape)
        assert expected["image"].std() > 0.01
    assert accept(model).passed


def test_other_weights_do_not_pass(model, make_generator, tmp_path):
    make_generator(tmp_path / "other.onnx", factor=2.5)
    shutil.copy(tmp_path / "other.onnx", model)
    outcome = accept(model)
    assert not outcome.same_model
    assert not outcome.passed


def changed(model, change):
    path = model.parent / FOLDER / EXPECTED
    with np.load(path) as file:
        content = dict(file)
    np.savez_compressed(path, **change(content))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda image: image + np.float32(0.01), id="brighter"),
        pytest.param(lambda image: image[:, :, ::-1], id="left is right"),
        pytest.param(lambda image: np.roll(image, 1, axis=2), id="one slice off"),
        pytest.param(lambda image: image[:, :, :-1], id="a slice less"),
    ],
)
def test_other_values_or_geometry_do_not_pass(model, wrong):
    changed(model, lambda content: content | {"image": wrong(content["image"])})
    outcome = accept(model)
    assert outcome.same_model
    image, half_width = outcome.comparisons
    assert not image.passed and half_width.passed and not outcome.passed


def test_values_that_are_not_finite_do_not_pass():
    nan = np.full((2, 2, 2), np.nan, np.float32)
    assert not acceptance._compared("image", nan, np.zeros((2, 2, 2))).passed


def test_a_missing_or_damaged_reference_is_named(model):
    expected = model.parent / FOLDER / EXPECTED
    content = expected.read_bytes()
    expected.write_bytes(content[:2000])
    with pytest.raises(ModelError, match=r"expected\.npz: damaged"):
        accept(model)
    expected.unlink()
    with pytest.raises(ModelError, match=r"expected\.npz is missing.*--record"):
        accept(model)
    expected.write_bytes(content)
    changed(model, lambda content: content | {"schema": np.array(2)})
    with pytest.raises(ModelError, match="schema 2, expected 1"):
        accept(model)
    expected.write_bytes(content)
    (model.parent / FOLDER / "t1.nii.gz").unlink()
    with pytest.raises(ModelError, match=r"t1\.nii\.gz is missing"):
        accept(model)


def test_a_reference_is_not_replaced_unless_told(model, scan):
    with pytest.raises(OutputError, match="--overwrite"):
        record(model, {"t1": scan})
    record(model, {"t1": scan}, overwrite=True)
    assert accept(model).passed


def test_scans_that_do_not_suit_leave_no_reference(tmp_path, toy_generator, scan):
    path = tmp_path / "toy.onnx"
    shutil.copy(toy_generator, path)
    with pytest.raises(InputError, match="give exactly these"):
        record(path, {"t2": scan})
    with pytest.raises(InputError, match=r"expected a \.nii\.gz file"):
        record(path, {"t1": tmp_path / "t1.mha"})
    assert not (tmp_path / FOLDER).exists()
