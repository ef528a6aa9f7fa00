"""What the bundled generator's card, its settings and its file say is one thing."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from hagan_clinic.runtime import load_model
from hagan_clinic.training.config import read_settings

FOLDER = Path(__file__).parents[1] / "export" / "t1_to_flair"
CARD = tomllib.loads((FOLDER / "card.toml").read_text(encoding="utf-8"))
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
FORMS = {
    "whole_head": "Whole heads:",
    "skull_stripped": "Skull-stripped:",
    "skull_stripped_1mm": "Skull-stripped, 1 mm:",
}
ROWS = {
    "constant (training mean)": "constant",
    "T1 copied": "t1_copied",
    "T1 through a fitted curve": "fitted_curve",
    "**this model**": "model",
}


@pytest.fixture(scope="module")
def model():
    return load_model(FOLDER / "t1_to_flair.onnx")


def test_the_file_holds_the_card(model):
    stated = {**model.card.__dict__}
    assert {name: stated[name] for name in CARD} == CARD


@pytest.mark.parametrize("form", FORMS)
def test_the_page_and_the_card_give_the_same_figures(form):
    table = PAGE.split(f"\n{FORMS[form]}\n\n")[1].split("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    columns = lines[0][1:]
    rows = {line[0]: dict(zip(columns, line[1:], strict=True)) for line in lines[2:]}
    for region in ("brain", "tumour"):
        figures = CARD["metrics"][form][region]
        for row, name in ROWS.items():
            psnr, ssim, nmse = figures[name]
            assert rows[row][region] == f"{psnr:.2f} / {ssim:.3f} / {nmse:.3f}"
    for command in CARD["metrics"]["commands"]:
        assert command in PAGE


def test_the_page_tells_when_training_stopped_as_the_file_does(model):
    table = PAGE.split("## When it stopped")[1]
    last = [cell.strip() for cell in re.findall(r"^\| \d+ .*\|$", table, re.M)[-1].split("|")[1:-1]]
    names = ("psnr", "ssim", "psnr_head", "psnr_stripped", "interval_factor")
    calibration = [model.training["calibration"][name] for name in names]
    assert int(last[0]) == model.training["step"]
    assert [float(cell) for cell in last[1:]] == pytest.approx(calibration, abs=5.1e-3)


def test_the_file_was_trained_by_the_settings_beside_it(model):
    settings = json.loads(json.dumps(read_settings(FOLDER / "train.toml")))
    trained = {name: model.training["config"][name] for name in settings if name != "workers"}
    del settings["workers"]
    assert settings == trained


def test_the_script_leaves_the_callers_settings_out(tmp_path):
    """Run with a stand-in for the command, from a folder that has settings of its own."""
    here = tmp_path / "export" / "t1_to_flair"
    (tmp_path / "examples").symlink_to(FOLDER.parents[1] / "examples")
    data, caller = tmp_path / "data", tmp_path / "caller"
    for folder in (here, data, caller, tmp_path / "bin"):
        folder.mkdir(parents=True)
    for name in ("train.sh", "train.toml", "card.toml"):
        (here / name).write_bytes((FOLDER / name).read_bytes())
    (caller / "hagan-clinic.toml").write_text("[train]\nclip = 99.0\n")
    command = tmp_path / "bin" / "hagan-clinic"
    command.write_text(
        "#!/bin/sh\ntest ! -e hagan-clinic.toml && test -e train.toml || exit 1\n"
        f'echo "$@" >> {tmp_path}/calls\ntouch t1_to_flair.onnx\n'
        "mkdir -p acceptance && touch acceptance/expected.npz\n"
    )
    command.chmod(0o755)
    done = subprocess.run(
        ["bash", str(here / "train.sh"), "../data", "../data", "run"],
        cwd=caller,
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    train, export, accept = (tmp_path / "calls").read_text().splitlines()
    assert train.split()[-1] == export.split()[1] == str(caller / "run")
    assert f"--data {data} --init {data}" in train
    assert accept.startswith("accept t1_to_flair.onnx --record t1=")
    listed = (here / "SHA256").read_text()
    assert "t1_to_flair.onnx" in listed and "acceptance/expected.npz" in listed
