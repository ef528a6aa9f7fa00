import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main

TOTALS = {256: 79_744_884, 128: 79_583_972, 64: 78_672_324, 32: 74_747_780}  # paper, Table VIII
PARTS = ["total", "G^A", "G^L", "G^H", "D^H", "D^L", "E^H", "E^G"]


def summary(*arguments):
    result = CliRunner().invoke(main, ["summary", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(("side", "total"), TOTALS.items())
def test_the_parameters_are_those_of_the_paper(side, total):
    parameters = summary("--mode", "unconditional", "--size", side)["parameters"]
    assert list(parameters) == PARTS
    assert parameters["total"] == total
    assert sum(parameters.values()) == 2 * total


def test_the_layers_of_256_cubed_have_the_shapes_of_the_paper():
    paper = ("--mode", "unconditional", "--size", 256, "--slab", 32, "--set", "norm='group'")
    layers = summary(*paper)["layers"]

    def outputs(part, kind):
        return [layer["output"] for layer in layers[part] if layer["kind"].startswith(kind)]

    cubes = ((512, 4), (512, 8), (256, 16), (128, 32), (64, 64))
    assert outputs("G^A", "conv") == [[channels, side, side, side] for channels, side in cubes]
    assert outputs("G^H", "conv") == [[32, 16, 128, 128], [1, 32, 256, 256]]
    assert outputs("D^H", "conv")[-3:] == [[256, 1, 8, 8], [512, 1, 4, 4], [128, 1, 1, 1]]
    assert outputs("E^G", "conv")[-1] == [1024, 1, 1, 1]
    kinds = [layer["kind"] for layer in layers["D^H"]]
    assert kinds[0] == "conv 4 /2, 1 to 16, spectral norm"
    assert kinds[3] == "conv 2x4x4 /2, 64 to 128, spectral norm"


def test_two_levels_list_the_parts_of_both_with_the_shapes_of_512_cubed():
    found = summary("--mode", "unconditional", "--size", 512, "--slab", 32, "--set", "levels=2")
    parts = ["G^A", "G^L", "G^1", "G^H", "D^1", "D^H", "D^L", "E^H", "E^1", "E^G"]
    assert list(found["parameters"]) == ["total", *parts]
    assert sum(found["parameters"].values()) == 2 * found["parameters"]["total"]

    def last(part):
        return [layer["output"] for layer in found["layers"][part] if "conv" in layer["kind"]][-1]

    assert last("G^A") == [64, 32, 32, 32]
    assert last("G^1") == [1, 32 + 2 * 8, 128, 128]  # with the halo of a level below the finest
    assert last("G^H") == [1, 32 + 2 * 4, 512, 512]
    assert last("E^1") == [64, 8, 32, 32]


def test_a_refined_generator_and_a_discriminator_of_patches_are_listed():
    given = ["components=true", "end_to_end=true", "refinements=2", "discriminator=patches"]
    given += ["low_res_branch=false", "diffaugment=false", "discriminator_width=128"]
    settings = [word for setting in given for word in ("--set", setting)]
    found = summary("--mode", "unconditional", "--size", 64, "--slab", 16, *settings)
    assert list(found["parameters"]) == ["total", "G^A", "G^H", "D^H", "E^H", "E^G"]
    outputs = [layer["output"] for layer in found["layers"]["D^H"] if "conv" in layer["kind"]]
    assert outputs[1:4] == [[64, 4, 16, 16], [128, 4, 16, 16], [128, 4, 16, 16]]
    high = [layer["output"] for layer in found["layers"]["G^H"] if "conv" in layer["kind"]]
    assert high[-1] == [1, 16 + 2 * 8, 64, 64]  # with the halo of training
    assert [32, 16, 32, 32] in high


def test_the_activations_of_a_slab_grow_with_it_and_halve_in_bf16():
    thin, thick = (
        summary("--mode", "unconditional", "--size", 256, "--slab", slab, "--set", "norm='group'")[
            "activation_bytes"
        ]
        for slab in (32, 128)
    )
    # E^H keeps the outputs of its three convolutions and of its three ReLUs.
    values = 2 * (2 * 32 * 16 * 128**2 + 64 * 8 * 64**2)
    assert thin["fp32"]["E^H"] == pytest.approx(4 * values, rel=1e-4)
    assert thick["fp32"]["G^H"] == pytest.approx(4 * thin["fp32"]["G^H"], rel=1e-3)
    assert thick["fp32"]["G^A"] == thin["fp32"]["G^A"]
    assert thin["bf16"]["total"] == pytest.approx(thin["fp32"]["total"] / 2, rel=1e-3)
    assert sum(thin["fp32"].values()) == 2 * thin["fp32"]["total"]


def test_checkpointing_keeps_only_what_it_recomputes_from():
    options = ("--mode", "unconditional", "--size", 64, "--set", "gradient_checkpointing=true")
    kept = summary(*options)["activation_bytes"]["fp32"]
    plain = summary(*options[:-2])["activation_bytes"]["fp32"]
    # E^H keeps the outputs of its three convolutions and of its last ReLU.
    values = 2 * 32 * 4 * 32**2 + 2 * 64 * 2 * 16**2
    assert kept["E^H"] == pytest.approx(4 * values, rel=1e-3)
    assert kept["G^A"] < 0.85 * plain["G^A"]
    assert kept["G^L"] < 0.55 * plain["G^L"]
    assert kept["D^H"] == plain["D^H"]


def test_ablations_leave_their_parts_out():
    parts = summary(
        *("--mode", "unconditional", "--size", 64),
        *("--set", "low_res_branch=false", "--set", "encoder=false"),
    )["parameters"]
    assert list(parts) == ["total", "G^A", "G^H", "D^H"]


def test_a_translation_is_summarised_too_and_as_a_table():
    size = ("--mode", "conditional", "--size", "160,192,160")
    facts = summary(*size)
    assert list(facts["parameters"]) == ["total", "G^A", "G^L", "E^H", "G^H", "D^H", "D^L"]
    assert facts["layers"]["G^H"][-1]["output"] == [2, 48, 192, 160]  # a slab and its halo
    table = CliRunner().invoke(main, ["summary", *size], env={"COLUMNS": "140"}).stdout
    assert f"{facts['parameters']['total']:,}" in table
    assert "G^H together" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "unconditional", "--size", "100"], "100x100x100: expected multiples of 16"),
        (["--mode", "conditional", "--size", "100"], "100x100x100: expected multiples of 16"),
        (["--mode", "conditional"], "size is missing: give the training box"),
        (["--mode", "unconditional", "--set", "depth=3"], "unknown setting 'depth'"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    result = CliRunner().invoke(main, ["summary", *arguments])
    assert result.exit_code == 3
    assert message in result.stderr


def test_256_cubed_takes_no_memory():
    code = (
        "from pathlib import Path\n"
        "from hagan_clinic.cli import main\n"
        "main(['summary', '--mode', 'unconditional', '--size', '256', '--slab', '128', '--json'],"
        " standalone_mode=False)\n"
        # Not ru_maxrss, which begins with the peak of the process that started this one.
        "told = Path('/proc/self/status').read_text()\n"
        "print('KIB', told.split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The parameters alone are 0.3 GiB, and the activations of one sample 2 GiB.
    assert int(done.stdout.split("KIB")[1]) < 1_200_000
