"""What runs on CUDA is what runs on the CPU: steps of training, resuming, export, translation."""

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hagan_clinic.evaluation.cost_step import random_batch
from hagan_clinic.imageio import write
from hagan_clinic.onnx_export import export_run
from hagan_clinic.runtime import Translator
from hagan_clinic.training import run
from hagan_clinic.training.checkpoint import load_tensors
from hagan_clinic.training.half import precision
from hagan_clinic.training.loop import optimizer_of, to_channels_last
from hagan_clinic.training.registry import build_model, gather_settings
from hagan_clinic.volume import Volume

DEVICE = "cuda"
SAMPLE = Path(__file__).parents[2] / "examples/open_ms_patient07/open_ms_patient07_t1.nii.gz"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() and DEVICE == "cuda", reason="PyTorch sees no CUDA device"
    ),
]
with_onnxruntime_gpu = pytest.mark.skipif(
    DEVICE == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="onnxruntime is no CUDA build: pip install onnxruntime-gpu",
)


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """No TF32, which would part the devices by more than their rounding."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def settings(mode, **more):
    sizes = {"conditional": [32, 48, 32], "unconditional": [64, 64, 64]}[mode]
    given = {"mode": mode, "size": sizes, "slab": 16, "batch_size": 2, "workers": 0}
    return gather_settings("tiny", [], given | more)


def terms_of_two_steps(config, device):
    """The losses of two steps from weights and samples that are the same on every device."""
    torch.manual_seed(0)
    batch = {
        name: value.to(device) if value.is_floating_point() else value
        for name, value in random_batch(config).items()
    }
    model = build_model(config)
    module = model.to(device)
    assert isinstance(module, nn.Module)
    to_channels_last(module)
    optimizers = {name: optimizer_of(group) for name, group in model.groups().items()}

    def update(name, loss):
        with torch.autocast(device, enabled=False):
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
            torch.clear_autocast_cache()

    told = []
    for step in (config.steps, config.steps + 1):  # the discriminators take part
        torch.manual_seed(step)
        with precision(config.precision, torch.device(device)):
            terms = model.training_step(batch, step, update)
        told.append({name: float(term) for name, term in terms.items()})
    return told


@pytest.mark.parametrize("mode", ["conditional", "unconditional"])
@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 2e-3), ("bf16-mixed", 0.1)])
def test_steps_have_the_losses_of_the_cpu(mode, precision, tolerance):
    more = {} if mode == "conditional" else {"diffaugment": False}  # whose numbers the device draws
    expected = terms_of_two_steps(settings(mode, **more), "cpu")
    found = terms_of_two_steps(settings(mode, precision=precision, **more), DEVICE)
    for one, other in zip(expected, found, strict=True):
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance)


def test_checkpointing_has_the_losses_of_a_step_that_keeps_everything():
    kept, recomputed = (
        terms_of_two_steps(
            settings("unconditional", diffaugment=False, gradient_checkpointing=checkpointing),
            DEVICE,
        )
        for checkpointing in (False, True)
    )
    for one, other in zip(kept, recomputed, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six ellipsoids with texture at 6 mm."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in (26, 32, 26)), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    for number in range(6):
        (folder / f"p{number}").mkdir()
        for name in ("t1", "flair"):
            array = np.where(inside, rng.uniform(200, 900, inside.shape), 0).astype(np.float32)
            path = folder / f"p{number}" / f"p{number}_{name}.nii.gz"
            write(Volume(array, np.diag([6.0, 6.0, 6.0, 1.0])), path, description="ellipsoid")
    return folder


def trained(cohort, folder):
    given = {"data": str(cohort), "device": DEVICE, "workers": 0, "checkpoint_every": 2}
    config = gather_settings("tiny", [], given | {"steps": 4, "validate_every": 4})
    run.run_training(config, folder, say=lambda line: None)
    return folder


def test_a_stopped_run_goes_on_to_nearly_the_same_weights(cohort, tmp_path, monkeypatch):
    whole = trained(cohort, tmp_path / "whole")
    loader = run.slab_loader
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", lambda *a, **k: itertools.islice(loader(*a, **k), 2))
        with pytest.raises(StopIteration):
            trained(cohort, tmp_path / "parts")
    parts = trained(cohort, tmp_path / "parts")
    one, other = (
        load_tensors(folder / "last" / "weights.safetensors") for folder in (whole, parts)
    )
    assert one.keys() == other.keys()
    for name, weight in one.items():
        # Kernels of CUDA may add in any order, so two runs alike differ by as much.
        assert (weight - other[name]).norm() <= 0.02 * weight.norm() + 1e-4, name


def images_of(model, source):
    return [
        np.asarray(Translator(model, device=device).translate(source).volume.array)
        for device in ("cpu", DEVICE)
    ]


@with_onnxruntime_gpu
def test_a_run_on_cuda_is_exported_and_translates_as_on_the_cpu(cohort, tmp_path):
    folder = trained(cohort, tmp_path / "run")
    exported = export_run(folder, tmp_path / "model.onnx")
    assert exported.difference < 1e-3
    on_cpu, on_cuda = images_of(exported.path, cohort / "p0" / "p0_t1.nii.gz")
    assert np.abs(on_cpu - on_cuda).max() < 1e-3


@with_onnxruntime_gpu
def test_the_bundled_model_translates_as_on_the_cpu():
    on_cpu, on_cuda = images_of("t1_to_flair", SAMPLE)
    assert np.abs(on_cpu - on_cuda).max() < 1e-3
