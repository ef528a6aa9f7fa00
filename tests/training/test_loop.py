"""One loop for every variant: steps, validations, stops and what is logged."""

import itertools
import signal
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
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.errors import (
    DeviceError,
)
from hagan_clinic.training import loop, muon
from hagan_clinic.training.loop import learning_rate
from hagan_clinic.training.run import run_training
from hagan_clinic.training.run_folder import read_state
from hagan_clinic.training.trainable import Validation
from hagan_clinic.unconditional.generator import ConvolutionBlock


def test_a_logged_loss_is_the_mean_over_the_steps_that_have_it(
    tiny_settings, tmp_path, monkeypatch, logged
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


class Line(nn.Module):
    """The smallest variant: one hidden matrix that is drawn to zero, and a bias."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.averaged = self.layer

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
def test_memory_that_runs_out_in_a_validation_costs_no_step(tmp_path, error, logged):
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
            one, other = (
                load_file(tmp_path / run / name / f"{file}.safetensors") for run in ("run", "whole")
            )
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)
    assert logged(tmp_path / "run", "calibration/norm") == [(2, 1.0), (4, 1.0)]


@pytest.mark.parametrize(("asked_at", "saved", "validated"), [(2, 2, 0), (4, 4, 2)])
def test_a_stop_is_not_kept_waiting_by_a_validation(tmp_path, asked_at, saved, validated, logged):
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


def test_speeds_are_of_the_steps_alone(tmp_path, monkeypatch, logged):
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
