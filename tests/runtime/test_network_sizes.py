import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hagan_clinic.runtime.network_sizes import UnknownSizeError, peak_bytes


def _network(nodes, weights=(), free=("d", "h", "w")):
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *free])
        for name in ("source", "target")
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def test_values_are_held_until_their_last_use():
    nodes = [
        helper.make_node("Relu", ["source"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("ReduceMax", ["c", "channels"], ["target"]),
    ]
    one = 4 * 8**3
    # At the third layer: a, b and both of them joined; the source went with the first.
    assert peak_bytes(_network(nodes, [("channels", [1])]), side=8) == 4 * one + 8


def test_what_depends_on_no_input_is_held_for_good():
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["constant"]),
        helper.make_node("ReduceMax", ["constant"], ["most"], keepdims=0),
        helper.make_node("Add", ["source", "most"], ["a"]),
        helper.make_node("Relu", ["a"], ["target"]),
    ]
    one = 4 * 8**3
    assert peak_bytes(_network(nodes, [("shape", [1000])]), side=8) == 2 * one + 4000 + 4 + 8


def test_sizes_are_followed_through_arithmetic_of_shapes():
    nodes = [
        helper.make_node("Shape", ["source"], ["sizes"], start=2),
        helper.make_node("Mul", ["sizes", "two"], ["doubled"]),
        helper.make_node("Concat", ["ones", "doubled"], ["shape"], axis=0),
        helper.make_node("Expand", ["half", "shape"], ["large"]),
        helper.make_node(
            "AveragePool", ["large"], ["target"], kernel_shape=[2] * 3, strides=[2] * 3
        ),
    ]
    weights = [("two", 2), ("ones", [1, 1]), ("half", np.float32(0.5))]
    large, target = 4 * 16**3, 4 * 8**3
    expected = large + target + 4 + 8 * (1 + 2)
    assert peak_bytes(_network(nodes, weights), side=8) == expected


def test_free_axes_have_the_given_size_and_fixed_ones_their_own():
    nodes = [helper.make_node("Relu", ["source"], ["target"])]
    assert peak_bytes(_network(nodes, free=("d", 2, 3)), side=5) == 2 * 4 * 5 * 2 * 3


def test_sizes_that_contradict_each_other_are_refused():
    nodes = [helper.make_node("Add", ["source", "seven"], ["target"])]
    network = _network(nodes, [("seven", np.zeros((1, 1, 1, 1, 7), np.float32))])
    assert peak_bytes(network, side=7)
    with pytest.raises(UnknownSizeError, match="operator 'Add' do not fit each other"):
        peak_bytes(network, side=8)
