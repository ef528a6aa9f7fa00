import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hagan_clinic.errors import ModelError
from hagan_clinic.runtime import session
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.network import Network
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.slabs import SlabPlan

SHAPE = (64, 48, 32)


def _volume(channels=1):
    return np.random.default_rng(1).uniform(-1, 1, (channels, *SHAPE)).astype(np.float32)


def _network(path):
    return Network(load_model(path), choose_device("cpu"), threads=1)


def _difference(network, source, plan):
    whole = network.run(source, SlabPlan(SHAPE[0], SHAPE[0], plan.halo))
    slabs = network.run(source, plan)
    return max(float(np.abs(a - b).max()) for a, b in zip(whole, slabs, strict=True))


@pytest.mark.parametrize("thickness", [4, 20, 32, 60])
def test_slab_translation_equals_whole_volume(toy_generator, thickness):
    plan = SlabPlan(SHAPE[0], thickness, halo=4)
    assert _difference(_network(toy_generator), _volume(), plan) < 1e-5


def test_slabs_without_halo_differ_so_the_comparison_can_fail(toy_generator):
    plan = SlabPlan(SHAPE[0], 16, halo=0)
    assert _difference(_network(toy_generator), _volume(), plan) > 1e-2


def test_context_of_a_slab_comes_from_the_whole_volume(toy_generator):
    network = _network(toy_generator)
    source = _volume()
    plan = SlabPlan(SHAPE[0], 16, halo=4)
    before, _ = network.run(source, plan)
    source[:, 48:] = 1.0  # far from the first slab, seen only in the mean of the volume
    after, _ = network.run(source, plan)
    assert np.abs(after[:16] - before[:16]).max() > 1e-3


def test_model_without_low_resolution_branch_runs_in_slabs(make_generator, tmp_path):
    model = make_generator(tmp_path / "plain.onnx", context=False)
    plan = SlabPlan(SHAPE[0], 24, halo=4)
    assert _difference(_network(model), _volume(), plan) < 1e-5


def test_model_of_two_sources_runs_in_slabs(make_generator, tmp_path):
    model = make_generator(tmp_path / "two.onnx", sources=("t1", "t2"))
    plan = SlabPlan(SHAPE[0], 24, halo=4)
    assert _difference(_network(model), _volume(channels=2), plan) < 1e-5


def test_progress_ends_at_one(toy_generator):
    told = []
    _network(toy_generator).run(_volume(), SlabPlan(SHAPE[0], 24, halo=4), told.append)
    assert told == [1 / 3, 2 / 3, 1.0]


@pytest.mark.parametrize("thickness", [24, SHAPE[0]])
def test_progress_moves_while_the_network_runs(toy_generator, monkeypatch, thickness):
    monkeypatch.setattr(session, "_LOOK", 1e-4)
    plan, told = SlabPlan(SHAPE[0], thickness, halo=4), []
    _network(toy_generator).run(_volume(), plan, told.append)
    assert len(told) >= 2 * plan.count, "something between the ends of the slabs"
    assert told == sorted(told) and told[0] > 0 and told[-1] == 1.0


@pytest.mark.parametrize("thickness", [16, SHAPE[0]])
def test_network_giving_nan_is_refused(make_generator, tmp_path, thickness):
    network = _network(make_generator(tmp_path / "nan.onnx", nan=True))
    with pytest.raises(ModelError, match="NaN or infinite values in 'scale'"):
        network.run(_volume(), SlabPlan(SHAPE[0], thickness, halo=4))


def _ending(path, output, *nodes, **constants):
    """Let an output of a model go through more nodes, from `before` to its name."""
    proto = onnx.load(path)
    for node in proto.graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
        node.input[:] = ["before" if name == output else name for name in node.input]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    changed = path.with_name("changed.onnx")
    onnx.save(proto, changed)
    return changed


@pytest.mark.parametrize("thickness", [16, SHAPE[0]])
@pytest.mark.parametrize("output", ["target", "scale"])
def test_an_output_of_another_shape_is_refused(make_generator, tmp_path, thickness, output):
    pooled = helper.make_node(
        "AveragePool", ["before"], [output], kernel_shape=[2] * 3, strides=[2] * 3
    )
    path = _ending(make_generator(tmp_path / "toy.onnx"), output, pooled)
    with pytest.raises(ModelError, match=f"gave '{output}' of shape .*, expected"):
        _network(path).run(_volume(), SlabPlan(SHAPE[0], thickness, halo=4))


@pytest.mark.parametrize("thickness", [16, SHAPE[0]])
def test_an_image_without_anything_in_it_is_refused(make_generator, tmp_path, thickness):
    nothing = helper.make_node("Mul", ["before", "zero"], ["target"])
    zero = np.zeros(1, np.float32)
    path = _ending(make_generator(tmp_path / "toy.onnx"), "target", nothing, zero=zero)
    with pytest.raises(ModelError, match=r"gave -?0 everywhere in 'target'"):
        _network(path).run(_volume(), SlabPlan(SHAPE[0], thickness, halo=4))


def test_an_error_below_zero_is_refused(make_generator, tmp_path):
    below = helper.make_node("Sub", ["before", "much"], ["scale"])
    much = np.full(1, 1e6, np.float32)
    path = _ending(make_generator(tmp_path / "toy.onnx"), "scale", below, much=much)
    with pytest.raises(ModelError, match="in 'scale', expected 0 or more"):
        _network(path).run(_volume(), SlabPlan(SHAPE[0], SHAPE[0], halo=4))


def test_a_network_that_takes_too_long_is_stopped(toy_generator, monkeypatch):
    network = _network(toy_generator)
    network.run(_volume(), SlabPlan(SHAPE[0], SHAPE[0], halo=4))
    monkeypatch.setattr(session, "LONGEST_RUN", 1e-5)
    with pytest.raises(ModelError, match="was not done after"):
        network.run(_volume(), SlabPlan(SHAPE[0], SHAPE[0], halo=4))


def test_network_that_fails_is_named(toy_generator):
    with pytest.raises(ModelError, match="the network failed"):
        _network(toy_generator).run(_volume(channels=3), SlabPlan(SHAPE[0], SHAPE[0], 4))


def test_providers_are_those_of_the_session(toy_generator):
    network = _network(toy_generator)
    assert network.providers == []
    network.run(_volume(), SlabPlan(SHAPE[0], 16, halo=4))
    assert network.providers == ["CPUExecutionProvider"]
