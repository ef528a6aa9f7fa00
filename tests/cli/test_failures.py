import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hagan_clinic import cli


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("translate", "give a smaller --max-memory or free some"),
        ("train", "free some, or give fewer --workers"),
        ("export", "free some"),
    ],
)
def test_memory_that_ran_out_is_told_with_options_that_the_command_has(monkeypatch, name, advice):
    def exhausted(*_):
        raise MemoryError

    command = cli.main.get_command(click.Context(cli.main), name)
    monkeypatch.setattr(command, "invoke", exhausted)
    arguments = ["translate", "t1.nii", "-o", "flair.nii"] if name == "translate" else [name]
    arguments += ["run", "-o", "model.onnx"] if name == "export" else []
    result = CliRunner().invoke(cli.main, arguments)
    assert (result.exit_code, result.stderr) == (5, f"error: memory ran out; {advice}\n")
    for option in advice.split():
        if option.startswith("--"):
            assert option in {text for parameter in command.params for text in parameter.opts}


def _closed_at_once(*arguments, unbuffered, stderr=subprocess.PIPE):
    """Run a command whose standard output nobody reads."""
    code = "import sys; from hagan_clinic.cli import main; main(sys.argv[1:])"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, *(["-u"] if unbuffered else []), "-c", code, *arguments]
    try:
        return subprocess.run(command, stdout=writing, stderr=stderr or writing, text=True)
    finally:
        os.close(writing)


@pytest.mark.parametrize("unbuffered", [True, False])
def test_a_reader_that_goes_away_ends_a_command_quietly(unbuffered):
    done = _closed_at_once("models", unbuffered=unbuffered)
    # rich, which draws the table, ends with 1 where it is the first to notice.
    assert done.returncode in (1, cli.failures.CLOSED_PIPE)
    assert done.stderr == ""


@pytest.mark.parametrize("unbuffered", [True, False])
def test_what_is_echoed_to_nobody_ends_with_the_code_of_a_closed_pipe(unbuffered):
    done = _closed_at_once("models", "--json", unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (cli.failures.CLOSED_PIPE, "")


def test_an_error_that_nobody_reads_keeps_its_code():
    arguments = ("models", "no_such_model")
    assert _closed_at_once(*arguments, unbuffered=False, stderr=None).returncode == 4


def test_a_broken_pipe_of_another_kind_is_an_error(monkeypatch):
    def broken(*_):
        raise BrokenPipeError(32, "Broken pipe")

    command = cli.main.get_command(click.Context(cli.main), "models")
    monkeypatch.setattr(command, "invoke", broken)
    result = CliRunner().invoke(cli.main, ["models"])
    assert result.exit_code == 1 and "BrokenPipeError" in result.stderr
