import csv

import numpy as np
import pytest

from hagan_clinic.runtime.exploration import read_direction
from hagan_clinic.runtime.latents import read_latents


def write_table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def exact(latents, tmp_path):
    """A measurement that is a linear function of the latents, with the function."""
    found = read_latents(latents)
    # The encoder of so short a training gives latents that hardly differ.
    w = np.ones(found.latents.shape[1]) / found.latents.std(0)
    values = 100 + found.latents @ w
    rows = [("subject", "score"), *zip(found.names, values, strict=True)]
    return write_table(tmp_path / "score.csv", rows), w, values


def test_a_direction_of_real_latents_tells_its_held_out_r2(hagan, latents, volumes, tmp_path):
    output = tmp_path / "d.npz"
    result = hagan("fit", latents, volumes, "--measure", "lesion_ml", "-o", output)
    direction = read_direction(output)
    assert f"held-out R² {direction.r2:.3f}" in result.output
    assert "lesion_ml of 12 subjects (12 patients)" in result.output
    assert direction.identity == read_latents(latents).identity
    assert direction.measure == "lesion_ml"
    assert direction.std > 0
    assert ("means nothing" in result.stderr) == (direction.r2 <= 0)


def test_a_direction_that_predicts_nothing_is_said_to_mean_nothing(hagan, latents, names, tmp_path):
    # What is left of noise after the best fit by the latents.
    z = np.column_stack([read_latents(latents).latents, np.ones(12)])
    noise = np.random.default_rng(0).standard_normal(12)
    noise -= z @ np.linalg.lstsq(z, noise, rcond=None)[0]
    table = write_table(tmp_path / "n.csv", [("subject", "x"), *zip(names, noise, strict=True)])
    result = hagan("fit", latents, table, "--measure", "x", "-o", tmp_path / "d.npz")
    assert read_direction(tmp_path / "d.npz").r2 <= 0
    assert "this direction means nothing" in result.stderr


def test_examinations_of_one_patient_count_once(hagan, latents, exact, tmp_path):
    table, _, _ = exact
    rows = list(csv.reader(table.open()))
    patients = ["patient", "a", "a", *(f"p{n}" for n in range(10))]
    joined = [[*row, patient] for row, patient in zip(rows, patients, strict=True)]
    table = write_table(tmp_path / "p.csv", joined)
    result = hagan("fit", latents, table, "--measure", "score", "-o", tmp_path / "d.npz")
    assert "12 subjects (11 patients)" in result.output


def test_the_seed_alone_decides(hagan, latents, volumes, tmp_path):
    r2 = []
    for seed in (1, 1, 2):
        arguments = ("--measure", "brain_ml", "--seed", seed, "--overwrite")
        hagan("fit", latents, volumes, *arguments, "-o", tmp_path / "d.npz")
        r2.append(read_direction(tmp_path / "d.npz").r2)
    assert r2[0] == r2[1] != r2[2]


def _without_first(rows):
    return [rows[0], *rows[2:]]


def _with_stranger(rows):
    return [*rows, ["stranger", "1"]]


def _twice(rows):
    return [*rows, rows[1]]


def _with_value(value):
    return lambda rows: [rows[0], [rows[1][0], value], *rows[2:]]


def _constant(rows):
    return [rows[0], *([name, "5"] for name, _ in rows[1:])]


def _renamed(rows):
    return [["name", "score"], *rows[1:]]


def _of_few_patients(rows):
    return [[*rows[0], "patient"], *([*row, "one"] for row in rows[1:])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_first, "lacks 1 of the 12 subjects with latents: TCGA_CS_4941_19960909"),
        (_with_stranger, "names 1 subjects without latents: stranger"),
        (_twice, "TCGA_CS_4941_19960909 comes twice"),
        (_with_value("large"), "TCGA_CS_4941_19960909 has 'large' in score, expected a finite"),
        (_with_value(""), "has no value in score"),
        (_with_value("nan"), "has 'nan' in score"),
        (_constant, "measurements of all 12 subjects are alike"),
        (_renamed, "expected ['subject', 'score']"),
        (_of_few_patients, "found 1 patients"),
    ],
    ids=["lacks", "stranger", "twice", "word", "empty", "nan", "flat", "renamed", "one patient"],
)
def test_a_bad_table_is_named_in_one_line(hagan, latents, exact, tmp_path, change, message):
    rows = change(list(csv.reader(exact[0].open())))
    table = write_table(tmp_path / "bad.csv", rows)
    output = tmp_path / "d.npz"
    result = hagan("fit", latents, table, "--measure", "score", "-o", output, code=3)
    assert message in result.stderr
    assert not output.exists()


def test_other_bad_input_is_named_in_one_line(hagan, latents, volumes, tmp_path):
    (tmp_path / "torn.npz").write_bytes(latents.read_bytes()[:100])
    for arguments, code, message in (
        ((latents, volumes, "--measure", "age"), 3, "expected ['subject', 'age']"),
        ((latents, tmp_path / "none.csv", "--measure", "brain_ml"), 3, "no such file"),
        ((tmp_path / "torn.npz", volumes, "--measure", "brain_ml"), 3, "torn.npz"),
        ((volumes, volumes, "--measure", "brain_ml"), 3, "first line"),
    ):
        result = hagan("fit", *arguments, "-o", tmp_path / "d.npz", code=code)
        assert message in result.stderr
    result = hagan("fit", latents, volumes, "--measure", "brain_ml", "-o", "d.csv", code=6)
    assert "expected .npz" in result.stderr
    kept = latents.read_bytes()
    arguments = ("--measure", "brain_ml", "-o", latents, "--overwrite")
    result = hagan("fit", latents, volumes, *arguments, code=6)
    assert "this output is the input" in result.stderr
    assert latents.read_bytes() == kept
