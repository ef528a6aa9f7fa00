"""Real data, and small real generators whose receptive field is known."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hagan_clinic.recipe import Recipe

TOY_HALO = 4
"""Slices that make slabs of the toy generator exact: it reads 3 from beside a slab, in fours."""


@pytest.fixture(scope="session")
def test_data():
    """The folder of real patients."""
    folder = os.environ.get("HAGAN_TEST_DATA")
    if not folder:
        pytest.skip("HAGAN_TEST_DATA does not name the folder of real patients")
    return Path(folder)


@pytest.fixture(scope="session")
def toy_generator(tmp_path_factory):
    """A one-channel generator with a low-resolution branch, at 2 mm."""
    return build_generator(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="session")
def make_generator():
    """The function that builds generators, for tests that need an odd one."""
    return build_generator


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def build_generator(
    path,
    *,
    sources=("t1",),
    spacing=(2.0, 2.0, 2.0),
    context=True,
    channels=None,
    opset=21,
    factor=2.0,
    box=(),
    nan=False,
    metadata=None,
):
    """Write a small generator of the real one's interface and structure.

    Its context holds the mean of the whole volume, so that a slab translated without the whole
    volume's context is visibly wrong; source convolutions, trilinear interpolation of the context
    and the last convolution read three voxels beside each output voxel.
    """
    rng = np.random.default_rng(7)
    channels = channels or len(sources)
    weights, nodes = [], []

    def weight(name, *shape, scale=0.25):
        value = (scale * rng.standard_normal(shape)).astype(np.float32)
        weights.append(numpy_helper.from_array(value, name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(source, name, into, out):
        kernel = weight(f"{name}.weight", out, into, 3, 3, 3)
        return node("Conv", [source, kernel, weight(f"{name}.bias", out)], name, pads=[1] * 6)

    fine = node("Relu", [convolution("source", "fine_conv", channels, 6)], "fine")
    features = 6
    if context:
        low = node("AveragePool", ["source"], "low", kernel_shape=[4] * 3, strides=[4] * 3)
        axes = numpy_helper.from_array(np.array([2, 3, 4], np.int64), "axes")
        weights.append(axes)
        mean = node("ReduceMean", [low, "axes"], "mean", keepdims=1)
        globally = node("Add", [low, mean], "globally")
        node("Tanh", [convolution(globally, "low_conv", channels, 4)], "context")
        weights.append(numpy_helper.from_array(np.array([1, 1, 4, 4, 4], np.float32), "scales"))
        upper = node("Resize", ["context", "", "scales"], "upper", mode="linear")
        fine = node("Concat", [upper, fine], "joined", axis=1)
        features += 4
    result = convolution(fine, "result", features, 2)
    weights.append(numpy_helper.from_array(np.array([1, 1], np.int64), "halves"))
    nodes.append(helper.make_node("Split", [result, "halves"], ["raw", "log_scale"], axis=1))
    node("Tanh", ["raw"], "target")
    if nan:
        log = node("Sub", ["log_scale", "log_scale"], "zero")
        node("Log", [node("Sub", [log, node("Exp", ["log_scale"], "e")], "minus")], "scale")
    else:
        node("Exp", [node("Tanh", ["log_scale"], "bounded")], "scale")

    def tensor(name, count, size):
        shape = [1, count, *(f"{size}_{axis}" for axis in "dhw")]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [tensor("target", 1, "full"), tensor("scale", 1, "full")]
    if context:
        outputs.append(tensor("context", 4, "low"))
    inputs = [tensor("source", channels, "full")]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, initializer=weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    recipe = Recipe(
        sources=tuple(sources),
        target="flair",
        spacing=spacing,
        multiple=16,
        halo=TOY_HALO,
        interval_factor=factor,
        box=box,
    )
    card = {"name": path.stem, "version": "1", "licence": "CC0-1.0", "description": "A toy."}
    entries = {
        "hagan_clinic.schema": "1",
        "hagan_clinic.recipe": recipe.to_json(),
        "hagan_clinic.card": json.dumps(card),
        "hagan_clinic.training": json.dumps({"steps": 0}),
        **(metadata or {}),
    }
    helper.set_model_props(model, {k: v for k, v in entries.items() if v is not None})
    onnx.save(model, path)
    return path
