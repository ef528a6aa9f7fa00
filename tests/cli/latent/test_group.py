import subprocess
import sys

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.cli.latent import SUBCOMMANDS


def test_help_lists_every_subcommand():
    text = CliRunner().invoke(main, ["latent", "--help"]).stdout
    for name, sentence in SUBCOMMANDS.items():
        assert name in text
        assert sentence in text


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_help_and_the_debug_option(name):
    result = CliRunner().invoke(main, ["latent", name, "--help"])
    assert result.exit_code == 0
    assert "--debug" in result.stdout


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback_wherever_it_stands(before, tmp_path):
    failing = ["measure", str(tmp_path / "none"), "-o", str(tmp_path / "v.csv")]
    arguments = ["--debug", *failing] if before else [*failing, "--debug"]
    result = CliRunner().invoke(main, ["latent", *arguments])
    assert result.exit_code == 3
    assert "Traceback" in result.stderr
    assert "Traceback" not in CliRunner().invoke(main, ["latent", *failing]).stderr


def test_an_unknown_subcommand_is_wrong_usage():
    assert CliRunner().invoke(main, ["latent", "wolk"]).exit_code == 2


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_imports_nothing_heavy(name):
    code = (
        "import sys\n"
        "from hagan_clinic.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'numpy', 'nibabel', 'PIL', 'rich', 'onnxruntime', 'torch', 'sklearn'}\n"
        "assert heavy.isdisjoint(sys.modules), heavy & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", code, "latent", name, "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
