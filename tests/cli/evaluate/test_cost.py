import re

import pytest

from hagan_clinic.training.modes import gather_settings, mode_of

COMMON = ("--device", "cpu", "--batch-size", 1)
SMALL = ("--set", "width=64", "--set", "judge_width=64", "--set", "latent=8")


def parameters(**settings):
    module = mode_of(gather_settings(None, [], settings)).model().module
    return sum(parameter.numel() for parameter in module.parameters())


def test_each_size_and_slab_has_its_parameters_memory_and_speed_beside_the_papers(
    evaluate, csv_rows, tmp_path
):
    options = ("--size", 32, "--size", 64, "--slab-fraction", "1/8", "--slab-fraction", "1/2")
    result = evaluate("cost", "-o", tmp_path / "cost", *COMMON, *SMALL, *options, "--steps", 1)
    rows = csv_rows(tmp_path / "cost" / "cost.csv")
    assert [(row["size"], row["slab"]) for row in rows] == [
        ("32x32x32", "1/8"),
        ("64x64x64", "1/8"),
        ("64x64x64", "1/2"),
    ]
    settings = {"mode": "unconditional", "width": 64, "judge_width": 64, "latent": 8}
    assert int(rows[1]["parameters"]) == parameters(size=[64, 64, 64], **settings)
    peaks = [float(row["peak_mib"]) for row in rows]
    assert 0 < peaks[1] < peaks[2]
    assert all(float(row["steps_per_second"]) > 0 for row in rows)
    for text in (result.stdout, (tmp_path / "cost" / "cost.md").read_text()):
        assert "2573" in text
        assert "74.7M" in text


def test_the_conditional_model_is_measured_by_the_same_command(evaluate, csv_rows, tmp_path):
    options = ("--mode", "conditional", "--size", "32,48,32", "--slab-fraction", "1/4")
    evaluate("cost", "-o", tmp_path / "cost", *COMMON, *options, "--steps", 0)
    (row,) = csv_rows(tmp_path / "cost" / "cost.csv")
    expected = parameters(mode="conditional", size=[32, 48, 32], slab=8)
    assert int(row["parameters"]) == expected
    assert row["steps_per_second"] == ""


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--size", "30"), 3, "30x30x30: expected at least 32"),
        (("--size", "1,2"), 2, "expected 1 or 3 numbers"),
        (("--slab-fraction", "9/8"), 2, "expected a fraction of the depth"),
        (("--set", "widht=3"), 3, "widht"),
    ],
)
def test_bad_input_is_named_before_anything_is_measured(evaluate, tmp_path, options, code, message):
    result = evaluate("cost", "-o", tmp_path / "cost", *COMMON, *options, code=code)
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "cost").exists()
