"""An exported file gives the first weights of a network, as its run does."""

import dataclasses

import pytest
import torch

from hagan_clinic.conditional import ConditionalGenerator
from hagan_clinic.errors import ModelError
from hagan_clinic.onnx_export.onnx_file import with_half_weights
from hagan_clinic.runtime import load_model
from hagan_clinic.training.initial import load_first_weights


@pytest.fixture(scope="module")
def files(exported, tmp_path_factory):
    """The model file with whole and with half weights: what torch traces is the same."""
    whole = exported[0] / "model.onnx"
    half = tmp_path_factory.mktemp("half") / "half.onnx"
    half.write_bytes(with_half_weights(whole.read_bytes()))
    return {"whole": whole, "half": half}


def fresh(config):
    torch.manual_seed(9)
    return ConditionalGenerator(config).eval()


@pytest.mark.parametrize("weights", ["whole", "half"])
def test_a_model_file_gives_the_weights_it_was_exported_from(exported, files, weights):
    folder, trained = exported
    from_run, from_file = fresh(trained.config), fresh(trained.config)
    assert load_first_weights(from_run, folder / "run")["name"] == "run"
    model = load_model(files[weights])
    stated = {"name": model.card.name, "sha256": model.sha256}
    assert load_first_weights(from_file, files[weights]) == stated
    assert model.training["init"] is None
    source = torch.rand(1, 1, 32, 32, 32) * 2 - 1
    with torch.inference_mode():
        networks = (trained, from_run, from_file, fresh(trained.config))
        wanted, one, other, untrained = (network(source)[0] for network in networks)
    assert (one - wanted).abs().max() < 1e-6
    assert (one - other).abs().max() < (1e-2 if weights == "half" else 1e-6)
    assert (one - untrained).abs().max() > 1e-2


def test_every_weight_that_the_file_holds_is_taken(exported, files):
    trained = exported[1].state_dict()
    taken = fresh(exported[1].config)
    load_first_weights(taken, files["whole"])
    stored = {n: v for n, v in taken.state_dict().items() if not n.startswith("low.")}
    assert all(torch.equal(value, trained[name]) for name, value in stored.items())


def test_another_architecture_is_refused(exported, files):
    wider = fresh(dataclasses.replace(exported[1].config, half_width=16))
    with pytest.raises(ModelError, match=r"does not fit these settings: .* expected shape"):
        load_first_weights(wider, files["whole"])
    with pytest.raises(ModelError, match="does not fit this model"):
        load_first_weights(wider, exported[0] / "run")
