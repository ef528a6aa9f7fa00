import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.progress import counted, is_hidden


@pytest.fixture
def arguments(toy_generator, tmp_path):
    """Of a translation, by the model's own small network."""
    array = np.zeros((32, 32, 32), np.int16)
    array[4:28, 4:28, 4:28] = np.random.default_rng(0).integers(200, 900, (24, 24, 24))
    nib.save(nib.Nifti1Image(array, np.diag([5.0, 5.0, 5.0, 1.0])), tmp_path / "t1.nii.gz")
    named = ["-i", tmp_path / "t1.nii.gz", "-o", tmp_path / "flair.nii.gz"]
    return [*map(str, [*named, "--model", toy_generator, "--device", "cpu"])]


def run(*words):
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
def test_a_quiet_translation_prints_nothing_and_its_errors_stay(arguments, tmp_path, before):
    words = ["-q", "translate"] if before else ["translate", "-q"]
    first = run(*words, *arguments)
    assert (first.exit_code, first.stdout, first.stderr) == (0, "", "")
    assert (tmp_path / "flair.nii.gz").exists()
    again = run(*words, *arguments)
    assert (again.exit_code, again.stdout) == (6, "")
    assert again.stderr.startswith("error: ") and again.stderr.count("\n") == 1


def test_a_scan_may_be_named_by_an_option_as_the_output_is(arguments, tmp_path):
    told = run("translate", *arguments)
    assert told.exit_code == 0, told.output
    assert f"wrote {tmp_path / 'flair.nii.gz'}\n" in told.stdout
    twice = run("translate", str(tmp_path / "t1.nii.gz"), *arguments[:2], "-o", str(tmp_path / "f"))
    assert "would be written there" in twice.stderr, "the argument and the option are both taken"


@pytest.mark.parametrize("words", [["models", "--json"], ["doctor", "--json"]], ids=" ".join)
def test_what_was_asked_for_is_printed_quiet_or_not(words):
    quiet, loud = run("--quiet", *words), run(*words)
    assert quiet.exit_code == loud.exit_code
    assert {*map(str, json.loads(quiet.stdout)[0])} == {*map(str, json.loads(loud.stdout)[0])}


def test_a_quiet_training_keeps_its_warnings(monkeypatch, tmp_path):
    from hagan_clinic.api import training

    def train(*_, say, **__):
        for line in ("10 subjects", "warning: p1 has no mask", "next: export"):
            say(line)
        with counted("preparing", 1) as step:
            assert is_hidden()
            step()

    monkeypatch.setattr(training, "train", train)
    (tmp_path / "cohort").mkdir()
    arguments = ["--data", str(tmp_path / "cohort"), "-o", str(tmp_path / "run")]
    quiet = run("train", *arguments, "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "warning: p1 has no mask\n")


def test_quiet_ends_with_the_call(arguments):
    run("-q", "translate", "-q", *arguments)
    assert not is_hidden()
