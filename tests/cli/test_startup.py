import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import COMMANDS, main

# Of [train], and what its packages bring along.
TRAINING = (
    *("torch", "torchio", "lightning", "lightning_fabric", "monai", "sklearn", "scipy"),
    *("matplotlib", "onnxscript", "safetensors", "tensorboard"),
)
HEAVY = ("numpy", "nibabel", "SimpleITK", "onnx", "onnxruntime", "PIL", "rich")


def _modules_after(*arguments, without=(), code=0):
    """Top-level modules of a fresh process after a command; some modules may be missing in it."""
    program = (
        "import json, sys\n"
        f"sys.modules.update(dict.fromkeys({without!r}))\n"
        "from hagan_clinic.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        f"    assert (end.code or 0) == {code}, end.code\n"
        "loaded = {name.partition('.')[0] for name, module in sys.modules.items() if module}\n"
        "print(json.dumps(sorted(loaded)))\n"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def translate_arguments(toy_generator, tmp_path):
    array = np.zeros((32, 32, 32), np.int16)
    array[4:28, 4:28, 4:28] = np.random.default_rng(0).integers(200, 900, (24, 24, 24))
    nib.save(nib.Nifti1Image(array, np.diag([5.0, 5.0, 5.0, 1.0])), tmp_path / "t1.nii.gz")
    return (
        *("translate", tmp_path / "t1.nii.gz", "-o", tmp_path / "flair.nii.gz"),
        *("--model", toy_generator, "--device", "cpu", "--max-memory", "300MiB"),
        *("--uncertainty", tmp_path / "u.nii.gz", "--preview", tmp_path / "p.png"),
    )


def test_translate_imports_nothing_of_training(translate_arguments):
    modules = _modules_after(*translate_arguments)
    assert "onnxruntime" in modules
    # nibabel looks for scipy by importing it; the next test shows that it is not needed.
    assert modules.isdisjoint({*TRAINING} - {"scipy"})


def test_translate_runs_where_nothing_of_training_is_installed(translate_arguments, tmp_path):
    assert _modules_after(*translate_arguments, without=TRAINING).isdisjoint(TRAINING)
    assert (tmp_path / "flair.nii.gz").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["translate", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    assert _modules_after(*arguments).isdisjoint((*TRAINING, *HEAVY))


PLACES = {
    "data": ["--data", "nowhere"],
    "no data": [],
    "mask": ["--data", ".", "--mask", "nowhere.nii.gz"],
    "split": ["--data", ".", "--split", "nowhere.csv"],
    "settings": ["--data", ".", "--config", "nowhere.toml"],
}


@pytest.mark.parametrize("missing", PLACES)
def test_train_says_what_is_missing_before_it_imports_torch(missing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules = _modules_after("train", *PLACES[missing], code=3)
    assert modules.isdisjoint((*TRAINING, *HEAVY))


def test_train_looks_for_the_cohort_that_a_file_of_settings_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hagan-clinic.toml").write_text("[train]\ndata = 'nowhere'\n")
    assert "torch" not in _modules_after("train", code=3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "nowhere", "-o", "model.onnx"],
        ["evaluate", "translation", "t1_to_flair", "nowhere", "-o", "results"],
        ["evaluate", "folds", "nowhere", "-o", "results"],
        ["latent", "measure", "nowhere", "-o", "measures.csv"],
    ],
    ids=" ".join,
)
def test_a_command_says_that_its_folder_is_missing_before_it_imports_torch(
    arguments, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code = 4 if arguments[0] == "export" else 3
    assert "torch" not in _modules_after(*arguments, code=code)


def test_python_m_is_the_command():
    def output(*command):
        return subprocess.run(
            [*command, "--help"], capture_output=True, text=True, check=True
        ).stdout

    installed = shutil.which("hagan-clinic", path=Path(sys.executable).parent)
    assert installed, "the package is not installed beside the Python that runs the tests"
    as_module = output(sys.executable, "-m", "hagan_clinic")
    assert as_module == output(installed)
    assert as_module.startswith("Usage: hagan-clinic ")


def test_help_lists_every_command_and_exit_code():
    text = CliRunner().invoke(main, ["--help"]).stdout
    for name, sentence in COMMANDS.items():
        assert name in text
        assert sentence in text
    for line in ("3    input", "4    model", "5    device", "6    output", "130  interrupted"):
        assert line in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_options_that_all_have(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "--debug" in result.stdout and "-q, --quiet" in result.stdout


def test_unknown_command_is_wrong_usage():
    result = CliRunner().invoke(main, ["cook"])
    assert result.exit_code == 2
    assert "mean" not in result.stderr


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["transalte"], "translate"),
        (["import_weights"], "import-weights"),
        (["Train"], "train"),
        (["evaluate", "translate"], "translation"),
        (["latent", "wlak"], "walk"),
        (["spool", "pruge"], "purge"),
        (["translate", "--overwrit"], "--overwrite"),
        (["translate", "t1.nii", "-o", "flair.nii", "--model", "t1_flair"], "t1_to_flair"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_answered_with_what_was_meant(written, meant):
    result = CliRunner().invoke(main, written)
    assert result.exit_code == 4 if "--model" in written else 2
    assert f"Did you mean '{meant}'?" in result.stderr


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "train"), ("lightning_fabric.utilities", "train"), ("pynetdicom", "node")],
)
def test_command_without_its_extra_says_what_to_install(monkeypatch, module, extra):
    def missing(name, package=None):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("hagan_clinic.cli.lazy_group.import_module", missing)
    result = CliRunner().invoke(main, ["train"])
    assert result.exit_code == 5
    assert f'pip install "hagan-clinic[{extra}]"' in result.stderr
    assert result.stderr.count("\n") == 1


def test_other_missing_modules_are_not_taken_for_the_extra(monkeypatch):
    def missing(name, package=None):
        raise ModuleNotFoundError("No module named 'numpi'", name="numpi")

    monkeypatch.setattr("hagan_clinic.cli.lazy_group.import_module", missing)
    result = CliRunner().invoke(main, ["train"])
    assert result.exit_code == 1
    assert "numpi" in result.stderr
