import numpy as np
import onnxruntime
import pytest
import torch

import hagan_clinic
from hagan_clinic.errors import ModelError
from hagan_clinic.onnx_export.onnx_file import LARGEST_DIFFERENCE_HALF
from hagan_clinic.runtime import find_model


def test_a_model_file_loads_as_the_module_that_it_computes():
    trained = hagan_clinic.load("t1_to_flair")
    source = np.random.default_rng(0).uniform(-1, 1, (1, 1, 32, 48, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        find_model("t1_to_flair"), providers=["CPUExecutionProvider"]
    )
    expected = session.run(["target", "scale"], {"source": source})
    with torch.inference_mode():
        found = trained.generator(torch.from_numpy(source))[:2]
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.numpy() - other).max() < LARGEST_DIFFERENCE_HALF


def test_a_run_loads_with_its_weights_recipe_and_settings(folder):
    trained = hagan_clinic.load(folder / "run")
    assert (trained.recipe.sources, trained.recipe.box) == (("t1",), (32, 32, 32))
    assert trained.recipe.interval_factor > 0 and trained.encoder is None
    fresh = hagan_clinic.ConditionalHAGAN(trained.config).generator.state_dict()
    moved = trained.generator.state_dict()
    assert any(not torch.equal(moved[name], fresh[name]) for name in fresh)
    assert not trained.generator.training


def test_an_unconditional_run_loads_as_what_makes_its_samples(folder):
    trained = hagan_clinic.load(folder / "unconditional")
    samples = hagan_clinic.sample(folder / "unconditional", 2, seed=3, device="cpu")
    with torch.inference_mode():
        z = torch.from_numpy(samples.latents.latents)
        volumes, _ = trained.generator(z)
        again = trained.encoder.encode(volumes)
    expected = np.stack([volume.array for volume in samples.volumes])
    assert np.abs((volumes[:, 0].numpy() + 1) / 2 - expected).max() < 1e-4
    assert again.shape == z.shape


def test_a_place_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match="is not a run folder"):
        hagan_clinic.load(tmp_path)
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        hagan_clinic.load(tmp_path / "nowhere.onnx")
