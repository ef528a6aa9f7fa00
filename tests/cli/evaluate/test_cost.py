import json
import os
import re
import subprocess
import sys
from fractions import Fraction

import pytest

from hagan_clinic.errors import DeviceError
from hagan_clinic.evaluation.cost import ENVIRONMENT, configurations_of, slab_of
from hagan_clinic.evaluation.fresh_process import ProcessCost
from hagan_clinic.training.registry import MODELS, build_model, gather_settings

COMMON = ("--device", "cpu", "--batch-size", 1)
SMALL = ("--set", "width=64", "--set", "discriminator_width=64", "--set", "latent=8")


def parameters(**settings):
    module = build_model(gather_settings(None, [], settings))
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.slow
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
    settings = {"mode": "unconditional", "width": 64, "discriminator_width": 64, "latent": 8}
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
        (("--model", "cgan2d"), 3, "expected one of hagan, wgan-gp"),
    ],
)
def test_bad_input_is_named_before_anything_is_measured(evaluate, tmp_path, options, code, message):
    result = evaluate("cost", "-o", tmp_path / "cost", *COMMON, *options, code=code)
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "cost").exists()


UNET = {"width": 8}
PATCHES = {**UNET, "patch": 32, "levels": 5}
VOLUMES = {"width": 4, "latent": 8}
SMALLEST = {
    ("conditional", "hagan"): {"half_width": 8, "quarter_width": 16},
    ("conditional", "slab-unet"): {**UNET, "discriminator_width": 64},
    ("conditional", "cgan2d"): {**UNET, "levels": 5},
    ("conditional", "cgan3d-patch"): PATCHES,
    ("conditional", "cgan3d-laf"): {**PATCHES, "cell": 8, "fit_every": 3},
    ("unconditional", "hagan"): {"width": 64, "discriminator_width": 64, "latent": 8},
    ("unconditional", "wgan-gp"): VOLUMES,
    ("unconditional", "vae-gan"): VOLUMES,
    ("unconditional", "alpha-gan"): VOLUMES,
    ("unconditional", "progressive-gan"): VOLUMES,
}
# Imports once what takes longer than the steps, and forks itself for each configuration.
SERVER = """
import json, os, sys, traceback
from hagan_clinic.evaluation.cost_step import measured_steps
for line in sys.stdin:
    settings, result = json.loads(line)
    if (child := os.fork()) == 0:
        try:
            told = measured_steps(**json.load(open(settings)))
            with open(result, "w") as file:
                json.dump(told, file)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    print(json.dumps([status, usage.ru_maxrss]), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    """A process that answers with status and peak KiB."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def quick(monkeypatch, server):
    """Measure in a fork of one process, where the command starts a fresh one each time."""

    def run(command, *_):
        server.stdin.write(json.dumps(command[-2:]) + "\n")
        server.stdin.flush()
        status, peak = json.loads(server.stdout.readline())
        if status:
            raise DeviceError(f"exited with {status}")
        return ProcessCost(0.0, 0.0, peak * 1024)

    monkeypatch.setattr("hagan_clinic.evaluation.cost.run", run)


def test_every_model_has_its_smallest_sizes_here():
    assert list(SMALLEST) == [(mode, model) for mode, models in MODELS.items() for model in models]


@pytest.mark.parametrize(("mode", "model"), SMALLEST)
@pytest.mark.usefixtures("quick")
def test_every_model_is_measured(evaluate, csv_rows, tmp_path, mode, model):
    settings = SMALLEST[mode, model]
    assignments = [f"--set={name}={value}" for name, value in settings.items()]
    options = ("--mode", mode, "--model", model, "--size", 32, "--slab-fraction", "1/4")
    common = ("--device", "cpu", "--batch-size", 2, "--steps", 1)
    result = evaluate("cost", "-o", tmp_path / "cost", *options, *common, *assignments)
    (row,) = csv_rows(tmp_path / "cost" / "cost.csv")
    assert row["error"] == ""
    cut = {"slab": 8} if model in ("hagan", "slab-unet", "cgan2d") else {}
    assert row["slab"] == ("1/4" if cut else "")
    expected = parameters(mode=mode, model=model, size=[32] * 3, **settings, **cut)
    assert int(row["parameters"]) == expected
    assert float(row["peak_mib"]) > 0
    assert float(row["steps_per_second"]) > 0
    assert ("74.7M" in result.stdout) == ((mode, model) == ("unconditional", "hagan"))


def test_a_model_without_slabs_has_one_row_for_each_size():
    sizes = [(32, 32, 32), (64, 64, 64)]
    fractions = [Fraction(1, 8), Fraction(1, 2)]
    volumes = {"mode": "unconditional", "model": "wgan-gp", "batch_size": 2}
    assert configurations_of(volumes, sizes, fractions) == [(size, None) for size in sizes]
    slabs = configurations_of(volumes | {"model": "hagan"}, sizes, fractions)
    assert [fraction for _, fraction in slabs] == [fractions[0], fractions[0], fractions[1]]


@pytest.mark.parametrize(
    ("depth", "multiple", "slab"), [(32, 4, 4), (16, 4, 4), (112, 4, 12), (32, 8, 8), (112, 8, 8)]
)
def test_an_eighth_of_the_depth_is_brought_to_a_multiple(depth, multiple, slab):
    assert slab_of(depth, Fraction(1, 8), multiple) == slab


def test_512_cubed_with_two_levels_is_counted_to_train_within_12_gib(evaluate, csv_rows, tmp_path):
    result = evaluate(
        "cost", "-o", tmp_path / "cost", "--counted", "--batch-size", 1, "--size", 512,
        "--slab-fraction", "1/16", "--set", "levels=2",
    )  # fmt: skip
    (row,) = csv_rows(tmp_path / "cost" / "cost.csv")
    assert int(row["parameters"]) == 84_796_246
    # At the least weights, moments and, but for D, their average; at the most a third of 12 GiB.
    assert 2.5 * 4 * 84_796_246 / 2**20 < float(row["peak_mib"]) < 4 * 1024
    assert "Counted; peak: what is alive" in " ".join(result.stdout.split())


def test_one_level_is_counted_as_the_paper_has_it(evaluate, csv_rows, tmp_path):
    options = ("--counted", "--size", 64, "--slab-fraction", "1/8", "--slab-fraction", "1/2")
    evaluate("cost", "-o", tmp_path / "cost", *options, *SMALL)
    thin, thick = (float(row["peak_mib"]) for row in csv_rows(tmp_path / "cost" / "cost.csv"))
    assert 0 < thin < thick


def test_a_counted_step_is_that_of_the_unconditional_model_alone(evaluate, tmp_path):
    result = evaluate("cost", "-o", tmp_path / "c", "--counted", "--mode", "conditional",
                      "--size", 64, code=3)  # fmt: skip
    assert "--counted is for the unconditional hagan, found conditional hagan" in result.stderr
