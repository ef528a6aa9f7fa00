"""Runs of random weights, and one real trace that serves many tests, as it takes seconds."""

import json

import onnx
import pytest
import torch

from hagan_clinic.conditional import ConditionalGenerator
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.onnx_export import export_run
from hagan_clinic.training.checkpoint import save_tensors


@pytest.fixture
def traced_before():
    """A function that gives a file as torch traced it, before its metadata."""

    def bare(path):
        proto = onnx.load(path)
        del proto.metadata_props[:]
        return proto.SerializeToString()

    return bare


@pytest.fixture(scope="session")
def make_run():
    """A function that makes a run folder as training leaves it, with random weights."""

    def make(folder, **settings):
        narrow = {"half_width": 8, "quarter_width": 16, "data": "private"}
        config = ConditionalConfig(**narrow | settings)
        torch.manual_seed(0)
        generator = ConditionalGenerator(config.sizes())
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        average = torch.optim.swa_utils.AveragedModel(generator)
        (folder / "best").mkdir(parents=True)
        save_tensors(average.state_dict(), folder / "best" / "average.safetensors")
        metrics = {"psnr": 15.0, "interval_factor": 2.25}
        state = {"step": 7, "seconds": 3.2, "metrics": metrics, "revision": generator.revision}
        (folder / "best" / "state.json").write_text(json.dumps(state))
        (folder / "config.json").write_text(config.to_json())
        facts = {"subjects": {"train": 3}, "box": [32, 48, 64], "init": None}
        (folder / "facts.json").write_text(json.dumps(facts))
        return generator.eval()

    return make


@pytest.fixture(scope="session")
def exported(make_run, made_once, tmp_path_factory):
    """A folder with such a `run` and its `model.onnx`, and the run's network."""

    def export(folder):
        make_run(folder / "run")
        export_run(folder / "run", folder / "model.onnx")

    return made_once("translator", export), make_run(tmp_path_factory.mktemp("network") / "run")
