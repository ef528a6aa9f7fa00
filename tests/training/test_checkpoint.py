import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hagan_clinic.errors import ModelError, OutputError
from hagan_clinic.training.checkpoint import load_checkpoint, save_checkpoint
from hagan_clinic.training.run_folder import existing

MAPS = Path("/proc/self/maps")
FILES = {"weights.safetensors", "average.safetensors", "optimizer.all.safetensors", "state.json"}


def parts(value, width=4):
    """A model all of one value, its average, and an optimiser that has made a step."""
    model = nn.Linear(width, width)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    model(torch.ones(1, width)).sum().backward()
    optimizer.step()
    nn.init.constant_(model.weight, value)
    return model, AveragedModel(model), {"all": optimizer}


def save(folder, value, width=4):
    save_checkpoint(folder, *parts(value, width), {"step": value})


def saved_value(folder):
    model, average, optimizers = parts(0)
    state = load_checkpoint(folder, model, average, optimizers)
    assert (model.weight == state["step"]).all() and (average.module.weight == state["step"]).all()
    return state["step"]


def test_a_checkpoint_replaces_the_one_before(tmp_path):
    for value in (1, 2):
        save(tmp_path / "last", value)
    assert saved_value(tmp_path / "last") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"last"}
    assert {path.name for path in (tmp_path / "last").iterdir()} == FILES


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif(not MAPS.exists(), reason="this system does not tell what is mapped")
def test_what_is_loaded_does_not_keep_its_file_open(tmp_path):
    save(tmp_path / "last", 1, width=300)
    model, average, optimizers = parts(0, width=300)
    load_checkpoint(tmp_path / "last", model, average, optimizers)
    assert "python" in MAPS.read_text()
    assert str(tmp_path) not in MAPS.read_text()


def test_everything_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(descriptor):
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        # A file is flushed under its temporary name, .<12 digits>.<name>.
        events.append(path.name[14:] if path.name.startswith(".") else path.name)

    def watched_rename(path, target):
        events.append(f"{path.name} -> {Path(target).name}")
        return rename(path, target)

    save(tmp_path / "last", 1)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    save(tmp_path / "last", 2)
    first, second = events.index("last -> last.old"), events.index("last.part -> last")
    assert FILES | {"last.part"} == set(events[:first])
    assert events[first - 1] == "last.part"
    assert second == first + 1 and events[second + 1 :] == [tmp_path.name]


@pytest.mark.parametrize("crash", range(6))
def test_a_crash_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch, crash):
    left = [crash]

    def until_the_crash(work):
        def step(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return work(*arguments, **options)

        return step

    save(tmp_path / "last", 1)
    for _ in range(2):  # and once more over what the first crash has left
        with monkeypatch.context() as patch:
            left[0] = crash
            patch.setattr(Path, "rename", until_the_crash(Path.rename))
            patch.setattr(shutil, "rmtree", until_the_crash(shutil.rmtree))
            with suppress(KeyboardInterrupt):
                save(tmp_path / "last", 2)
        assert saved_value(tmp_path / "last") in (1, 2)
    save(tmp_path / "last", 3)
    assert saved_value(tmp_path / "last") == 3
    assert existing(tmp_path / "last") == tmp_path / "last"


def test_a_full_disk_keeps_the_checkpoint_before(small_disk):
    save(small_disk / "last", 1)
    with pytest.raises(OutputError, match=r"last\.part/\w+\.safetensors: the disk is full"):
        save(small_disk / "last", 2, width=200)
    assert {path.name for path in small_disk.iterdir()} == {"last"}
    assert saved_value(small_disk / "last") == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .*last: Not a directory"):
        save(tmp_path / "file" / "last", 1)


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path):
    save(tmp_path / "last", 1)
    (tmp_path / "last" / "optimizer.all.safetensors").unlink()
    with pytest.raises(ModelError, match=r"optimizer\.all\.safetensors does not exist"):
        saved_value(tmp_path / "last")


def test_a_checkpoint_of_another_revision_of_the_network_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "last", 1)
    assert saved_value(tmp_path / "last") == 1
    monkeypatch.setattr(nn.Linear, "revision", 2, raising=False)
    with pytest.raises(ModelError, match="revision 1 of this network"):
        saved_value(tmp_path / "last")
    save(tmp_path / "last", 2)
    assert saved_value(tmp_path / "last") == 2
