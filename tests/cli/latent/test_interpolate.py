import csv

import numpy as np
import pytest

from hagan_clinic.api.generators import load_generator
from hagan_clinic.imageio import read
from hagan_clinic.runtime.latents import Latents, read_latents, write_latents


def test_between_two_patients_the_ends_are_their_own_volumes(
    hagan, unconditional_run, latents, names, tmp_path
):
    one, other = names[1], names[8]
    arguments = ("-o", tmp_path / "between", "--steps", 3, "--device", "cpu")
    hagan("interpolate", unconditional_run, latents, one, other, *arguments)
    rows = list(csv.DictReader((tmp_path / "between" / "interpolation.csv").open()))
    assert [float(row["share"]) for row in rows] == [0, 0.5, 1]
    found = read_latents(latents).latents[[1, 8]]
    expected = list(load_generator(unconditional_run, "cpu").decode(found))
    for row, image in zip((rows[0], rows[-1]), expected, strict=True):
        made = read(tmp_path / "between" / row["file"])
        np.testing.assert_allclose(made.array, image, atol=1e-5)
    assert (tmp_path / "between" / "interpolation.gif").exists()
    assert (tmp_path / "between" / "interpolation.png").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"identity": "cd" * 32}, "latents of another model"),
        ({"latents": np.ones((12, 7), np.float32)}, "latents of length 7"),
    ],
)
def test_latents_of_another_model_are_refused(
    hagan, unconditional_run, latents, names, tmp_path, changed, message
):
    other = tmp_path / "other.npz"
    write_latents(Latents(**{**vars(read_latents(latents)), **changed}), other)
    pair = (other, names[0], names[1])
    result = hagan("interpolate", unconditional_run, *pair, "-o", tmp_path / "b", code=3)
    assert message in result.stderr
    assert not (tmp_path / "b").exists()


def test_a_subject_without_a_latent_is_named(hagan, unconditional_run, latents, names, tmp_path):
    arguments = ("interpolate", unconditional_run, latents, names[0], "nobody")
    result = hagan(*arguments, "-o", tmp_path / "b", code=3)
    assert "has no subject 'nobody': expected one of TCGA_CS_4941_19960909" in result.stderr


def test_a_model_with_classes_takes_the_class_that_both_subjects_have(
    hagan, make_unconditional_run, tmp_path
):
    run = tmp_path / "run"
    make_unconditional_run(run, classes=("a", "b"), label="side")
    identity = load_generator(run, "cpu").identity
    z = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    path = tmp_path / "latents.npz"
    write_latents(Latents(z, ("p", "q", "r"), identity, "t1", ("b", "b", "a")), path)
    arguments = ("--steps", 2, "--device", "cpu", "-o")
    hagan("interpolate", run, path, "p", "q", *arguments, tmp_path / "same")
    made = read(tmp_path / "same" / "interpolation_00.nii.gz").array
    expected = next(load_generator(run, "cpu").decode(z[:1], ["b"]))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    result = hagan("interpolate", run, path, "p", "r", *arguments, tmp_path / "two", code=3)
    assert "give --label" in result.stderr
