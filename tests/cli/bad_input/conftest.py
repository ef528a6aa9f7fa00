"""The claim of every bad input: one line, its exit code, and no file left behind."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.imageio import write
from hagan_clinic.volume import Volume


@pytest.fixture
def head():
    """A function that gives a textured block of 120 mm."""

    def made(seed=0):
        array = np.zeros((32, 32, 32), np.float32)
        array[4:28, 4:28, 4:28] = np.random.default_rng(seed).integers(200, 900, (24, 24, 24))
        return Volume(array, np.diag([5.0, 5.0, 5.0, 1.0]))

    return made


@pytest.fixture
def folder(tmp_path, head, monkeypatch):
    """Where commands run: one good scan, and an earlier result that is to be kept."""
    monkeypatch.chdir(tmp_path)
    write(head(), tmp_path / "t1.nii.gz", description="a scan")
    (tmp_path / "earlier.nii.gz").write_text("kept")
    return tmp_path


@pytest.fixture
def refused(folder, toy_generator, capfd):
    """The claim: a call fails with this code and message in one line, and changes no file."""

    def check(*arguments, code, message, model=toy_generator, device="cpu"):
        before = contents(folder)
        options = ["--model", str(model), "--device", device, "--threads", "1"]
        result = CliRunner().invoke(main, ["translate", *map(str, arguments), *options])
        assert result.exit_code == code, result.output
        assert re.fullmatch(r"error: [^\n]+\n", result.stderr)
        assert re.search(message, result.stderr)
        assert result.stdout == ""
        assert capfd.readouterr() == ("", "")  # what libraries print past Python
        assert contents(folder) == before

    return check


def contents(folder):
    """Every file below a folder, and what it holds."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in paths}
