import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn

from hagan_clinic.backbone.optimisation import ParameterGroup
from hagan_clinic.conditional import ConditionalHAGAN
from hagan_clinic.errors import (
    DeviceError,
    InputError,
    ModelError,
    OutputError,
)
from hagan_clinic.training import loop, muon, run
from hagan_clinic.training.checkpoint import read_state
from hagan_clinic.training.conditional import ConditionalConfig
from hagan_clinic.training.loop import learning_rate
from hagan_clinic.training.run import read_facts, run_training
from hagan_clinic.training.variant import Validation
from hagan_clinic.unconditional.generator import ConvolutionBlock


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


def logged(folder, name):
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == name]
    return [(int(row["step"]), float(row["value"])) for row in rows]


def logged_steps(folder):
    return [step for step, _ in logged(folder, "train/high")]


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
    assert 0 < state["figures"]["interval_factor"] < 20
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
    trained, tiny_settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    crash_after(3, tiny_settings, tmp_path / "run", monkeypatch)
    assert read_state(tmp_path / "run" / "last")["step"] == 2
    assert logged_steps(tmp_path / "run") == [1, 2, 3]
    run_training(ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None)
    assert_equal_runs(trained[0], tmp_path / "run")
    assert logged_steps(tmp_path / "run") == [1, 2, 3, 4]


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
from hagan_clinic.training.conditional import ConditionalConfig

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
def test_two_processes_take_the_step_of_one_with_twice_the_batch(tiny_settings, tmp_path):
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


def test_a_folder_with_other_things_in_it_is_left_alone(tiny_settings, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        run_training(ConditionalConfig(**tiny_settings), tmp_path, say=lambda line: None)


def test_an_unknown_augmentation_is_named(tiny_settings, tmp_path):
    config = ConditionalConfig(**(tiny_settings | {"augment": {"elastic": 0.5}}))
    with pytest.raises(InputError, match="augment: unknown setting 'elastic'; known are affine"):
        run_training(config, tmp_path / "run", say=lambda line: None)


def test_a_split_without_calibration_patients_is_refused(tiny_settings, tmp_path):
    split = tmp_path / "split.csv"
    rows = [f"p{number},{'train' if number else 'test'}" for number in range(10)]
    split.write_text("\n".join(["subject,split", *rows]))
    config = ConditionalConfig(**(tiny_settings | {"split": str(split)}))
    with pytest.raises(InputError, match="0 calibration subjects, and a validation needs 1"):
        run_training(config, tmp_path / "run", say=lambda line: None)


def test_no_data_says_what_is_needed(tmp_path):
    with pytest.raises(InputError, match="give a folder or a CSV file of the cohort with --data"):
        run_training(ConditionalConfig(), tmp_path / "run", say=lambda line: None)


def test_cuda_that_is_not_there_is_an_error(tiny_settings, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    config = ConditionalConfig(**(tiny_settings | {"device": "cuda"}))
    with pytest.raises(DeviceError, match="PyTorch sees no CUDA device"):
        run_training(config, tmp_path / "run", say=lambda line: None)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_out_of_memory_says_what_to_turn(tiny_settings, tmp_path, monkeypatch, error):
    def exhausted(*args):
        raise error

    monkeypatch.setattr(ConditionalHAGAN, "training_step", exhausted)
    with pytest.raises(DeviceError, match="a lower --batch-size, then --slab"):
        run_training(ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None)


@pytest.mark.parametrize("validate_every", [4, 6])
def test_divergence_is_named_and_never_saved(tiny_settings, tmp_path, monkeypatch, validate_every):
    whole = ConditionalHAGAN.training_step

    def diverging(self, batch, step, update):
        if step == 3:
            next(self.generator.parameters()).data.fill_(float("nan"))
            return {"high": torch.tensor(0.0)}
        return whole(self, batch, step, update)

    monkeypatch.setattr(ConditionalHAGAN, "training_step", diverging)
    config = ConditionalConfig(**(tiny_settings | {"steps": 6, "validate_every": validate_every}))
    with pytest.raises(ModelError, match="diverged by step 4"):
        run_training(config, tmp_path / "run", say=lambda line: None)
    assert read_state(tmp_path / "run" / "last")["step"] == 2


def test_a_logged_loss_is_the_mean_over_the_steps_that_have_it(
    tiny_settings, tmp_path, monkeypatch
):
    whole = ConditionalHAGAN.training_step

    def rarely(self, batch, step, update):
        whole(self, batch, step, update)
        rare = {"low": torch.tensor(8.0)} if step == 3 else {}
        return {"high": torch.tensor(float(step)), **rare}

    monkeypatch.setattr(ConditionalHAGAN, "training_step", rarely)
    run_training(ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None)
    assert logged(tmp_path / "run", "train/high") == [(4, 1.5)]
    assert logged(tmp_path / "run", "train/low") == [(4, 8.0)]


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


class Line(nn.Module):
    """The smallest variant: one hidden matrix that is drawn to zero, and a bias."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.module = self.averaged = self.layer

    def groups(self):
        return {
            "generator": ParameterGroup(list(self.layer.parameters()), 0.01, (0.9, 0.99), muon=True)
        }

    def training_step(self, batch, step, update):
        loss = self.layer(batch["x"]).square().mean()
        update("generator", loss)
        return {"high": loss.detach()}


def train_line(folder, validate=None, batches=None, **settings):
    """Train a `Line`; its last state."""

    def judged(part):
        return Validation(float(-part.weight.norm()), {"norm": 1.0}, np.zeros((8, 8), np.uint8))

    torch.manual_seed(0)
    config = ConditionalConfig(**({"steps": 4, "validate_every": 2, "device": "cpu"} | settings))
    fabric = Fabric(accelerator="cpu", devices=1, precision=config.precision)
    batches = batches or itertools.repeat({"x": torch.ones(2, 8)})
    folder.mkdir(exist_ok=True)
    return loop.train(Line(), batches, validate or judged, config, folder, fabric)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_memory_that_runs_out_in_a_validation_costs_no_step(tmp_path, error):
    def exhausted(part):
        raise error

    with pytest.raises(DeviceError, match="in the validation at step 2"):
        train_line(tmp_path / "run", exhausted)
    assert read_state(tmp_path / "run" / "last")["step"] == 2
    assert not (tmp_path / "run" / "best").exists()
    resumed, whole = train_line(tmp_path / "run"), train_line(tmp_path / "whole")
    for state in (resumed, whole):
        del state["seconds"]
    assert resumed == whole
    for name in ("best", "last"):
        for file in ("weights", "average", "optimizer.generator"):
            one, other = (weights(tmp_path / run, name, file) for run in ("run", "whole"))
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)
    assert logged(tmp_path / "run", "calibration/norm") == [(2, 1.0), (4, 1.0)]


@pytest.mark.parametrize(("asked_at", "saved", "validated"), [(2, 2, 0), (4, 4, 2)])
def test_a_stop_is_not_kept_waiting_by_a_validation(tmp_path, asked_at, saved, validated):
    def batches():
        for step in itertools.count(1):
            if step == asked_at:
                signal.raise_signal(signal.SIGINT)
            yield {"x": torch.ones(2, 8)}

    with pytest.raises(KeyboardInterrupt):
        train_line(tmp_path / "run", batches=batches())
    state = read_state(tmp_path / "run" / "last")
    assert (state["step"], state["validated"]) == (saved, validated)
    train_line(tmp_path / "run")
    assert logged(tmp_path / "run", "calibration/norm") == [(2, 1.0), (4, 1.0)]


def test_a_stop_asked_for_in_a_validation_comes_after_it(tmp_path):
    def interrupted(part):
        signal.raise_signal(signal.SIGINT)
        return Validation(1.0, {}, np.zeros((8, 8), np.uint8))

    with pytest.raises(KeyboardInterrupt):
        train_line(tmp_path / "run", interrupted)
    state = read_state(tmp_path / "run" / "last")
    assert (state["step"], state["validated"]) == (2, 2)


def test_speeds_are_of_the_steps_alone(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(loop, "LOG_EVERY", 4)

    def passes(seconds, what):
        clock.now += seconds
        return what

    batches = (passes(0.25, {"x": torch.ones(2, 8)}) for _ in itertools.count())
    step = Line.training_step
    monkeypatch.setattr(Line, "training_step", lambda *given: passes(1.0, step(*given)))
    validation = Validation(1.0, {}, np.zeros((8, 8), np.uint8))
    train_line(
        tmp_path / "run", lambda part: passes(100.0, validation), batches,
        steps=11, validate_every=3, checkpoint_every=100,
    )  # fmt: skip
    for name, value in {"steps_per_s": 0.8, "share_waiting_for_data": 0.2}.items():
        expected = [(step, value) for step in (4, 8, 11)]
        assert logged(tmp_path / "run", f"speed/{name}") == expected


def test_the_optimiser_reckons_in_full_precision(tmp_path, monkeypatch):
    kinds = []
    whole = muon.orthogonal

    def watched(matrix):
        kinds.append((matrix @ matrix.T).dtype)
        return whole(matrix)

    step = Line.training_step

    def watched_step(self, batch, *others):
        kinds.append(self.layer(batch["x"]).dtype)
        return step(self, batch, *others)

    monkeypatch.setattr(muon, "orthogonal", watched)
    monkeypatch.setattr(Line, "training_step", watched_step)
    train_line(tmp_path / "run", steps=2, precision="bf16-mixed")
    assert kinds == [torch.bfloat16, torch.float32] * 2


@pytest.mark.parametrize("first", [True, False])
def test_what_fails_in_a_validation_is_raised_in_every_process(first):
    failure = DeviceError("no memory")
    told = []

    def failing(part):
        raise failure

    def broadcast(outcome):
        told.append(outcome)
        return failure

    fabric = SimpleNamespace(is_global_zero=first, broadcast=broadcast)
    with pytest.raises(DeviceError, match="no memory"):
        loop._validate(failing, nn.Linear(1, 1), fabric)
    assert told == [failure if first else None]


def test_the_learning_rate_warms_up_and_falls():
    rates = [learning_rate(step, 1000, 1e-3) for step in range(1000)]
    assert rates[0] < 1e-4
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)


@pytest.mark.slow
def test_compiled_blocks_give_the_values_of_plain_ones():
    torch.manual_seed(0)
    block = ConvolutionBlock(8, 16, "group", double=True)
    features = torch.randn(1, 8, 8, 8, 8)
    names = list(block.state_dict())

    def told():
        block.zero_grad()
        result = block.activate(block.convolve(features))
        result.square().sum().backward()
        return result, block.norm.weight.grad.clone()

    plain, compiled = told(), (loop.compile_blocks(block), told())[1]
    assert isinstance(vars(block)["activate"], types.FunctionType)
    assert list(block.state_dict()) == names
    for one, other in zip(plain, compiled, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
