import dataclasses
import pickle

import numpy as np
import pytest

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.runtime.exploration.direction import Direction, read_direction, write_direction

IDENTITY = "ab" * 32


def direction(**changed):
    rng = np.random.default_rng(0)
    facts = {
        "identity": IDENTITY,
        "measure": "brain_ml",
        "coefficients": rng.standard_normal(16),
        "intercept": 1400.5,
        "r2": 0.25,
        "mean": 1390.0,
        "std": 85.0,
    }
    return Direction(**{**facts, **changed})


def test_a_direction_comes_back_from_its_file_to_the_last_bit(tmp_path):
    written = direction()
    write_direction(written, tmp_path / "d.npz")
    read = read_direction(tmp_path / "d.npz")
    for field in dataclasses.fields(Direction):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(written, field.name))


def test_it_predicts_by_coefficients_and_intercept():
    found = direction(coefficients=np.array([2.0, -1.0]), intercept=10.0)
    assert found.predict(np.array([[0, 0], [1, 3]], np.float32)).tolist() == [10.0, 9.0]


def test_it_means_nothing_from_an_r2_of_zero_down():
    assert [direction(r2=r2).means_nothing for r2 in (-0.5, 0.0, 0.01)] == [True, True, False]


def test_it_fits_the_model_it_was_made_with_and_no_other():
    direction().check_fits(IDENTITY, 16)
    with pytest.raises(InputError, match=r"has 16 coefficients, and .* have 32 numbers"):
        direction().check_fits(IDENTITY, 32)
    with pytest.raises(InputError, match=r"another model \(abababababab, this is cdcdcdcdcdcd\)"):
        direction().check_fits("cd" * 32, 16)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coefficients": np.zeros(16)}, "all coefficients .* are zero"),
        ({"coefficients": np.ones((2, 2))}, "shape"),
        ({"coefficients": np.array([1.0, np.nan])}, "not finite"),
        ({"intercept": float("inf")}, "not finite"),
    ],
)
def test_what_is_no_direction_cannot_exist(changed, message):
    with pytest.raises(InputError, match=message):
        direction(**changed)


def _text(path):
    path.write_text("no zip")


def _torn(path):
    write_direction(direction(), path)
    path.write_bytes(path.read_bytes()[:200])


def _others(path):
    np.savez(path, latents=np.zeros((3, 4)))


def _pickled(path):
    np.savez(path, coefficients=np.array([{"a": 1}], dtype=object))


def _raw_pickle(path):
    path.write_bytes(pickle.dumps({"coefficients": [1.0]}))


@pytest.mark.parametrize("make", [None, _text, _torn, _others, _pickled, _raw_pickle])
def test_a_file_that_is_no_direction_is_named(tmp_path, make):
    path = tmp_path / "d.npz"
    if make:
        make(path)
    with pytest.raises(InputError, match="latent fit` writes") as caught:
        read_direction(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_direction_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError):
        write_direction(direction(), tmp_path / "none" / "d.npz")
