import numpy as np
import pytest

from hagan_clinic.errors import ModelError
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


@pytest.mark.parametrize("thickness", [16, SHAPE[0]])
def test_network_giving_nan_is_refused(make_generator, tmp_path, thickness):
    network = _network(make_generator(tmp_path / "nan.onnx", nan=True))
    with pytest.raises(ModelError, match="NaN or infinite values in 'scale'"):
        network.run(_volume(), SlabPlan(SHAPE[0], thickness, halo=4))


def test_network_that_fails_is_named(toy_generator):
    with pytest.raises(ModelError, match="the network failed"):
        _network(toy_generator).run(_volume(channels=3), SlabPlan(SHAPE[0], SHAPE[0], 4))


def test_providers_are_those_of_the_session(toy_generator):
    network = _network(toy_generator)
    assert network.providers == []
    network.run(_volume(), SlabPlan(SHAPE[0], 16, halo=4))
    assert network.providers == ["CPUExecutionProvider"]
