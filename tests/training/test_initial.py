import pytest
import torch

from hagan_clinic.conditional import ConditionalGenerator, GeneratorConfig
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.errors import ModelError
from hagan_clinic.onnx_export.onnx_file import with_half_weights
from hagan_clinic.runtime import load_model
from hagan_clinic.training.initial import load_first_weights
from hagan_clinic.training.run import run_training

SMALL = {"half_width": 8, "quarter_width": 16}


@pytest.fixture(scope="module")
def run(tiny_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = tiny_settings | {"steps": 2, "validate_every": 2}
    run_training(ConditionalConfig(**settings), folder, say=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def files(run, export_quickly):
    """The run's model file with whole and with half weights; what torch traces is the same."""
    whole = export_quickly(run, run.parent / "model.onnx").path
    half = run.parent / "half.onnx"
    half.write_bytes(with_half_weights(whole.read_bytes()))
    return {False: whole, True: half}


def fresh(seed=9, **changes):
    torch.manual_seed(seed)
    config = ConditionalConfig(**(SMALL | changes))
    return ConditionalGenerator(config.sizes()).eval()


@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
def test_a_model_file_gives_the_weights_it_was_exported_from(run, files, half):
    from_run, from_file = fresh(), fresh()
    assert load_first_weights(from_run, run)["name"] == "run"
    model = load_model(files[half])
    stated = {"name": model.card.name, "sha256": model.sha256}
    assert load_first_weights(from_file, files[half]) == stated
    assert model.training["init"] is None
    source = torch.rand(1, 1, 32, 32, 32) * 2 - 1
    with torch.inference_mode():
        one, other, untrained = (g(source)[0] for g in (from_run, from_file, fresh()))
    assert (one - other).abs().max() < (1e-2 if half else 1e-6)
    assert (one - untrained).abs().max() > 1e-2


def test_another_architecture_is_refused(run, files):
    with pytest.raises(ModelError, match=r"does not fit these settings: .* expected shape"):
        load_first_weights(fresh(half_width=16), files[False])
    with pytest.raises(ModelError, match="does not fit this model"):
        load_first_weights(fresh(half_width=16), run)


def test_what_is_no_model_is_named(tmp_path):
    generator = ConditionalGenerator(GeneratorConfig(**SMALL))
    with pytest.raises(ModelError, match="No bundled model is called 'nothing'"):
        load_first_weights(generator, "nothing")
