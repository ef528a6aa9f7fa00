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
