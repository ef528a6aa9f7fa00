import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.onnx_export import export_run, translator
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.network import Network
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan

SAMPLE = Path(__file__).parents[2] / "examples/open_ms_patient07/open_ms_patient07"


@pytest.fixture(scope="module")
def ablated(make_run, export_quickly, tmp_path_factory):
    """The file of a run of two sources without the low-resolution branch."""
    folder = tmp_path_factory.mktemp("ablated")
    make_run(folder / "run", source=("t1", "t2"), low_res_branch=False)
    return export_quickly(folder / "run", folder / "model.onnx").path


@pytest.fixture
def traced(exported, traced_before, monkeypatch):
    """Has each export take the file of `exported` for what torch traces; gives its content."""
    content = traced_before(exported[0] / "model.onnx")
    monkeypatch.setattr(translator, "_to_onnx", lambda generator, recipe: content)
    monkeypatch.setattr(translator, "_activation_bytes", lambda *given: 100)
    return content


def test_the_file_computes_what_torch_computes(exported):
    folder, generator = exported
    source = np.random.default_rng(1).uniform(-1, 1, (1, 1, 80, 16, 48)).astype(np.float32)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    found = session.run(["target", "scale", "context"], {"source": source})
    with torch.inference_mode():
        expected = generator(torch.from_numpy(source))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-4


def test_the_file_tells_how_to_run_it_and_nothing_of_the_machine(exported):
    model = load_model(exported[0] / "model.onnx")
    assert model.recipe.interval_factor == 2.25
    assert model.recipe.sources == ("t1",) and model.recipe.target == "flair"
    assert model.recipe.halo == 32 and model.recipe.multiple == 16
    assert model.recipe.box == (32, 48, 64)
    assert model.recipe.box_grows
    assert model.recipe.margin_mm == 8 * max(model.recipe.spacing)
    assert model.has_context
    assert model.training["step"] == 7
    assert "private" not in json.dumps(dict(model.training))
    proto = onnx.load(exported[0] / "model.onnx")
    assert proto.opset_import[0].version == 21
    content = proto.SerializeToString()
    for trace in (str(exported[0]).encode(), b"stack_trace", b"onnx_export/", b"site-packages"):
        assert trace not in content


@pytest.mark.slow
def test_the_file_tells_what_a_run_takes(make_run, tmp_path, exported):
    narrow = load_model(exported[0] / "model.onnx").activation_bytes
    assert narrow > 40  # one layer of eight channels, and two outputs
    make_run(tmp_path / "run", half_width=96)
    export_run(tmp_path / "run", tmp_path / "wide.onnx")
    assert load_model(tmp_path / "wide.onnx").activation_bytes > 1.2 * narrow


@pytest.mark.slow
def test_the_file_is_checked_on_a_calibration_patient_that_is_still_there(make_run, tmp_path):
    cohort = tmp_path / "cohort.csv"
    files = f"{SAMPLE}_t1.nii.gz,{SAMPLE}_flair.nii.gz"
    cohort.write_text(f"subject,t1,flair\np1,{files}\np2,{files}\n")
    make_run(tmp_path / "run", data=str(cohort), spacing=6.0)
    (tmp_path / "run" / "split.csv").write_text("subject,split\np1,train\np2,calibration\n")
    assert export_run(tmp_path / "run", tmp_path / "a.onnx").checked == ("random", "real")
    cohort.unlink()
    assert export_run(tmp_path / "run", tmp_path / "b.onnx").checked == ("random",)


@pytest.mark.slow
def test_half_precision_halves_the_file_and_keeps_float_ends(make_run, tmp_path, exported):
    make_run(tmp_path / "run")
    result = export_run(tmp_path / "run", tmp_path / "half.onnx", half=True)
    assert result.difference < 2e-2
    whole = (exported[0] / "model.onnx").stat().st_size
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * whole
    load_model(tmp_path / "half.onnx")


@pytest.mark.slow
def test_half_precision_in_slabs_gives_what_the_whole_gives(make_run, tmp_path):
    make_run(tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "half.onnx", half=True)
    network = Network(load_model(tmp_path / "half.onnx"), choose_device("cpu"))
    source = np.random.default_rng(2).uniform(-1, 1, (1, 96, 32, 32)).astype(np.float32)
    whole = network.run(source, SlabPlan(96, 96, 32))
    for one, other in zip(network.run(source, SlabPlan(96, 12, 32)), whole, strict=True):
        assert np.abs(one - other).max() < 1e-4


def test_weights_that_were_trained_with_zero_padding_are_refused(make_run, tmp_path):
    make_run(tmp_path / "run")
    state = tmp_path / "run" / "best" / "state.json"
    state.write_text(state.read_text().replace('"revision": 2', '"revision": 1'))
    with pytest.raises(ModelError, match=r"revision 1 .* --init"):
        export_run(tmp_path / "run", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_several_sources_and_the_ablation_export(ablated):
    model = load_model(ablated)
    assert model.recipe.sources == ("t1", "t2")
    assert not model.has_context


@pytest.mark.parametrize("branches", ["both", "high resolution alone"])
def test_slabs_give_what_the_whole_volume_gives(exported, ablated, branches):
    model = load_model(exported[0] / "model.onnx" if branches == "both" else ablated)
    assert model.has_context == (branches == "both")
    network = Network(model, choose_device("cpu"))
    shape = (len(model.recipe.sources), 112, 32, 16)
    source = np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)
    whole = network.run(source, SlabPlan(112, 112, model.recipe.halo))
    for thickness in (4, 12, 44):
        slabs = network.run(source, SlabPlan(112, thickness, model.recipe.halo))
        for one, other in zip(slabs, whole, strict=True):
            assert np.abs(one - other).max() < 1e-4, thickness
    short = network.run(source, SlabPlan(112, 12, 0))
    assert np.abs(short[0] - whole[0]).max() > 1e-4  # the halo is needed, so the test can fail


@pytest.mark.slow
def test_the_card_is_carried_and_checked(make_run, tmp_path):
    make_run(tmp_path / "run")
    card = tmp_path / "card.toml"
    card.write_text('name = "x"\nlicence = "CC0-1.0"\n[metrics]\npsnr = 17.0\n')
    export_run(tmp_path / "run", tmp_path / "model.onnx", card=card)
    model = load_model(tmp_path / "model.onnx")
    assert model.card.name == "x" and model.card.metrics == {"psnr": 17.0}
    for text, message in (
        ('name = "x"', "lacks licence"),
        ('name = "x"\nlicence = "y"\nwarranty = "none"', "warranty"),
        ("name = ", "not valid TOML"),
    ):
        card.write_text(text)
        with pytest.raises(InputError, match=message):
            export_run(tmp_path / "run", tmp_path / "other.onnx", card=card)
    assert not (tmp_path / "other.onnx").exists()


def test_a_file_that_differs_from_torch_is_not_written(exported, traced, tmp_path, monkeypatch):
    monkeypatch.setattr("hagan_clinic.onnx_export.onnx_file.LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(ModelError, match=r"differs from torch by .* nothing was written"):
        export_run(exported[0] / "run", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("output", ["target", "scale", "context"])
def test_every_output_is_compared_with_torch(exported, traced, tmp_path, monkeypatch, output):
    def spoilt(generator, recipe):
        """The file with 0.01 added to one output, which the others do not see."""
        proto = onnx.load_model_from_string(traced)
        (last,) = (node for node in proto.graph.node if output in node.output)
        last.output[list(last.output).index(output)] = "right"
        for node in proto.graph.node:
            node.input[:] = ["right" if name == output else name for name in node.input]
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.01), "wrong"))
        proto.graph.node.append(onnx.helper.make_node("Add", ["right", "wrong"], [output]))
        return proto.SerializeToString()

    assert export_run(exported[0] / "run", tmp_path / "model.onnx").difference < 1e-4
    monkeypatch.setattr(translator, "_to_onnx", spoilt)
    with pytest.raises(ModelError, match=r"differs from torch by .* nothing was written"):
        export_run(exported[0] / "run", tmp_path / "spoilt.onnx")
    assert not (tmp_path / "spoilt.onnx").exists()


@pytest.mark.parametrize("box", [None, [], [32, 48]])
def test_a_run_that_does_not_tell_its_box_is_not_exported(make_run, tmp_path, box):
    make_run(tmp_path / "run")
    (tmp_path / "run" / "facts.json").write_text(json.dumps({} if box is None else {"box": box}))
    with pytest.raises(ModelError, match=r"facts\.json has the box .* expected the three sides"):
        export_run(tmp_path / "run", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(ModelError, match="is not a run folder"):
        export_run(tmp_path, tmp_path / "model.onnx")
