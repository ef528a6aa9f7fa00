"""What stands in a run folder when it cannot be written, and what the command says."""

import json

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.errors import OutputError
from hagan_clinic.training import run


@pytest.fixture
def train(tiny_settings, tmp_path):
    """The command, with the tiny settings in a TOML file; volumes are prepared elsewhere."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in tiny_settings.items()]
    config = tmp_path / "tiny.toml"
    config.write_text("\n".join(["[train]", *lines]))

    def command(folder):
        arguments = ["train", "--config", str(config), "-o", str(folder)]
        return CliRunner().invoke(main, [*arguments, "--cache", str(tmp_path / "cache")])

    return command


def test_a_full_disk_ends_in_one_line_and_the_same_command_starts_over(train, small_disk):
    folder = small_disk / "run"
    for _ in range(2):
        result = train(folder)
        assert result.exit_code == 6
        assert "last.part/weights.safetensors: the disk is full" in result.output
        assert "Traceback" not in result.output
        left = {path.name for path in folder.iterdir()}
        assert left == {"config.json", "facts.json", "split.csv", "metrics.csv", "tensorboard"}


def test_a_run_folder_that_cannot_be_made_is_named_before_any_volume_is_prepared(train, tmp_path):
    (tmp_path / "file").touch()
    result = train(tmp_path / "file" / "run")
    assert result.exit_code == 6
    assert f"cannot make {tmp_path}/file/run: Not a directory; give another" in result.output
    assert not (tmp_path / "cache").exists()


def test_a_read_only_run_folder_is_named(train, small_disk, remount_read_only):
    (small_disk / "run").mkdir()
    remount_read_only(small_disk)
    result = train(small_disk / "run")
    assert result.exit_code == 6
    assert "config.json: the file system is read-only; choose another folder" in result.output
    assert list((small_disk / "run").iterdir()) == []


def test_a_machine_that_does_not_share_the_run_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="is not the run folder of the first machine"):
        run._check_shared(tmp_path / "run")
