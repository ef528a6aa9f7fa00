"""A run goes on exactly where it was, and over no other run."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from hagan_clinic.conditional import ConditionalHAGAN
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.errors import (
    DeviceError,
    InputError,
    ModelError,
)
from hagan_clinic.training import loop, run
from hagan_clinic.training.run import run_training
from hagan_clinic.training.run_folder import read_facts, read_state


def weights(folder, name="last", file="weights"):
    return load_file(folder / name / f"{file}.safetensors")


def assert_equal_runs(one, other, tolerance=0.0):
    for file in ("weights", "average", "optimizer.generator", "optimizer.discriminator"):
        a, b = weights(one, file=file), weights(other, file=file)
        assert a.keys() == b.keys()
        for key in a:
            difference = (a[key].double() - b[key].double()).abs().max()
            assert difference <= tolerance, (file, key, difference)


def crash_after(batches, settings, folder, monkeypatch, **options):
    """Train until there are no more batches."""
    whole = run.slab_loader
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", lambda *a, **k: itertools.islice(whole(*a, **k), batches))
        with pytest.raises(StopIteration):
            run_training(ConditionalConfig(**settings), folder, say=lambda line: None, **options)


@pytest.fixture(scope="module")
def trained(tiny_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    lines = []
    state = run_training(ConditionalConfig(**tiny_settings), folder, say=lines.append)
    return folder, state, lines


def test_a_run_folder_holds_everything_and_nothing_pickled(trained):
    folder, state, lines = trained
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "facts.json", "split.csv", "metrics.csv", "tensorboard"}
    assert names >= {"last", "best", "montages"}
    assert not [p for p in folder.rglob("*") if p.suffix in (".pt", ".pth", ".pkl", ".ckpt")]
    assert state["step"] == 4
    assert 0 < state["metrics"]["interval_factor"] < 20
    assert any(re.match("10 subjects: 6 train, 2 calibration, 2 test", line) for line in lines)
    with (folder / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert {"train/high", "train/adversarial", "calibration/psnr", "calibration/ssim"} <= names
    assert {"speed/steps_per_s", "speed/share_waiting_for_data"} <= names


def test_the_same_settings_give_the_same_run(trained, tiny_settings, tmp_path):
    run_training(ConditionalConfig(**tiny_settings), tmp_path / "again", say=lambda line: None)
    assert_equal_runs(trained[0], tmp_path / "again")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_run_goes_on_exactly(trained, tiny_settings, tmp_path, monkeypatch, workers):
    whole = run.slab_loader

    def interrupted(*args, **kwargs):
        for number, batch in enumerate(whole(*args, **kwargs)):
            if number == 2:
                signal.raise_signal(signal.SIGINT)
            yield batch

    # Step 3 lies within a fill of the queue, which is of eight slabs.
    settings = tiny_settings | {"checkpoint_every": 100, "workers": workers}
    config = ConditionalConfig(**settings)
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_training(config, tmp_path / "run", say=lambda line: None)
    assert read_state(tmp_path / "run" / "last")["step"] == 3
    lines = []
    run_training(config, tmp_path / "run", say=lines.append)
    assert "resuming at step 3" in lines
    assert_equal_runs(trained[0], tmp_path / "run")


def test_a_crash_loses_at_most_the_steps_since_the_last_checkpoint(
    trained, tiny_settings, tmp_path, monkeypatch, logged
):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    crash_after(3, tiny_settings, tmp_path / "run", monkeypatch)
    assert read_state(tmp_path / "run" / "last")["step"] == 2
    assert [step for step, _ in logged(tmp_path / "run", "train/high")] == [1, 2, 3]
    run_training(ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None)
    assert_equal_runs(trained[0], tmp_path / "run")
    assert [step for step, _ in logged(tmp_path / "run", "train/high")] == [1, 2, 3, 4]


def test_fine_tuning_starts_from_the_averaged_weights(trained, tiny_settings, tmp_path):
    settings = tiny_settings | {"generator_lr": 1e-9, "ema": 0.0, "steps": 1}
    run_training(
        ConditionalConfig(**settings), tmp_path / "tuned", init=trained[0], say=lambda line: None
    )
    tuned = weights(tmp_path / "tuned", "best", "average")
    for key, value in weights(trained[0], "best", "average").items():
        if key.startswith("module."):
            assert torch.allclose(tuned[key], value, atol=1e-6), key
    assert read_facts(tmp_path / "tuned")["init"]["name"] == trained[0].name
    assert read_facts(trained[0])["init"] is None


def test_what_a_fine_tuning_began_from_outlives_a_resume(
    trained, tiny_settings, tmp_path, monkeypatch
):
    whole = run.load_first_weights
    began = []
    monkeypatch.setattr(
        run, "load_first_weights", lambda *arguments: began.append(whole(*arguments)) or began[0]
    )
    folder = tmp_path / "tuned"
    crash_after(3, tiny_settings, folder, monkeypatch, init=trained[0])
    run_training(ConditionalConfig(**tiny_settings), folder, init=trained[0], say=lambda line: None)
    assert len(began) == 1
    assert read_facts(folder)["init"] == began[0]
    assert str(trained[0].parent) not in (folder / "facts.json").read_text()


@pytest.fixture(scope="module")
def fine_tuned(trained, tiny_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    run_training(ConditionalConfig(**tiny_settings), folder, init=trained[0], say=lambda line: None)
    return folder


@pytest.mark.parametrize(
    ("began", "init", "message"),
    [
        ("fine_tuned", "t1_to_flair", r"weights of whole \(sha256 .*\), and --init .* t1_to_flair"),
        ("trained", "t1_to_flair", "weights from its seed, and --init now gives those of t1_to_"),
    ],
)
def test_a_run_is_not_resumed_over_other_first_weights(
    request, tiny_settings, began, init, message
):
    folder = request.getfixturevalue(began)
    folder = folder if began == "fine_tuned" else folder[0]
    with pytest.raises(InputError, match=message):
        run_training(ConditionalConfig(**tiny_settings), folder, init=init, say=lambda line: None)


TWO_PROCESSES = """
import itertools, json, sys
from pathlib import Path
from hagan_clinic.training import run
from hagan_clinic.conditional.settings import ConditionalConfig

settings, folder, batches = sys.argv[1:]
whole = run.slab_loader
run.slab_loader = lambda *a, **k: itertools.islice(whole(*a, **k), int(batches))
run.run_training(ConditionalConfig(**json.loads(settings)), Path(folder))
"""


def train_in_two_processes(settings, folder, batches=100):
    """Train on so many batches; the run crashes when it wants more."""
    script = folder.with_suffix(".py")
    script.write_text(TWO_PROCESSES)
    arguments = [json.dumps(settings | {"devices": 2}), str(folder), str(batches)]
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_two_processes_take_the_step_of_one_with_twice_the_batch(
    full_discriminators, tiny_settings, tmp_path
):
    settings = tiny_settings | {"steps": 2, "validate_every": 2, "checkpoint_every": 2}
    run_training(
        ConditionalConfig(**(settings | {"batch_size": 2})), tmp_path / "one", say=lambda line: None
    )
    done = train_in_two_processes(settings, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("10 subjects") == 1
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        assert (one[key].double() - two[key].double()).abs().max() < 2e-4, key


@pytest.mark.slow
def test_two_processes_go_on_exactly(tiny_settings, tmp_path):
    whole = train_in_two_processes(tiny_settings, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert train_in_two_processes(tiny_settings, tmp_path / "part", batches=3).returncode != 0
    assert read_state(tmp_path / "part" / "last")["step"] == 2
    done = train_in_two_processes(tiny_settings, tmp_path / "part")
    assert done.returncode == 0, done.stderr
    assert "resuming at step 2" in done.stdout
    assert_equal_runs(tmp_path / "whole", tmp_path / "part")


@pytest.mark.parametrize(("name", "before", "now"), [("slab", 16, 20), ("steps", 4, 8)])
def test_a_changed_setting_is_not_resumed_over(trained, tiny_settings, name, before, now):
    config = ConditionalConfig(**(tiny_settings | {name: now}))
    with pytest.raises(InputError, match=rf"other settings: {name} \({before}, now {now}\)"):
        run_training(config, trained[0], say=lambda line: None)


def test_a_run_that_failed_before_its_first_checkpoint_takes_other_settings(
    tiny_settings, tmp_path, monkeypatch
):
    def exhausted(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(ConditionalHAGAN, "training_step", exhausted)
        with pytest.raises(DeviceError):
            run_training(
                ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None
            )
    smaller = ConditionalConfig(**(tiny_settings | {"slab": 12, "steps": 1}))
    assert run_training(smaller, tmp_path / "run", say=lambda line: None)["step"] == 1


def test_resuming_keeps_the_split_that_the_run_began_with(tiny_settings, tmp_path, monkeypatch):
    crash_after(2, tiny_settings, tmp_path / "run", monkeypatch)
    split = (tmp_path / "run" / "split.csv").read_text()
    swapped = split.replace(",test", ",kept").replace(",train", ",test").replace(",kept", ",train")
    (tmp_path / "run" / "split.csv").write_text(swapped)
    run_training(ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None)
    kept = (tmp_path / "run" / "split.csv").read_text()
    assert sorted(kept.split()) == sorted(swapped.split())


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_checkpoint_is_named(tiny_settings, tmp_path, damage):
    config = ConditionalConfig(**(tiny_settings | {"steps": 2}))
    run_training(config, tmp_path / "run", say=lambda line: None)
    path = tmp_path / "run" / "last" / "weights.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        run_training(config, tmp_path / "run", say=lambda line: None)
