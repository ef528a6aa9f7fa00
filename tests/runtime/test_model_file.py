import json

import numpy as np
import onnx
import pytest

from hagan_clinic.errors import ModelError
from hagan_clinic.runtime.model_file import DEFAULT_ACTIVATION_BYTES, load_model


@pytest.fixture
def altered(toy_generator, tmp_path):
    """The toy generator after a change."""

    def alter(change):
        proto = onnx.load(toy_generator)
        change(proto)
        path = tmp_path / "altered.onnx"
        onnx.save(proto, path)
        return path

    return alter


def _set(key, value):
    def change(proto):
        entries = {entry.key: entry.value for entry in proto.metadata_props}
        entries[f"hagan_clinic.{key}"] = value
        del proto.metadata_props[:]
        onnx.helper.set_model_props(proto, {k: v for k, v in entries.items() if v is not None})

    return change


def test_model_file_tells_what_its_metadata_say(toy_generator):
    model = load_model(toy_generator)
    assert model.recipe.sources == ("t1",)
    assert model.recipe.target == "flair"
    assert (model.card.name, model.card.licence) == ("toy", "CC0-1.0")
    assert model.training == {"steps": 0}
    assert model.has_context
    assert model.activation_bytes == DEFAULT_ACTIVATION_BYTES
    assert model.proto().graph.name == "toy"


def test_measured_memory_of_the_file_goes_before_the_default(altered):
    path = altered(_set("runtime", json.dumps({"activation_bytes_per_voxel": 87.4})))
    assert load_model(path).activation_bytes == 87


def test_missing_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx: cannot read the model \(No such file"):
        load_model(tmp_path / "none.onnx")


def test_card_tells_of_known_failures_and_older_ones_do_not(altered, toy_generator):
    cases = ["Lesions are missing.", "Edges are blurred."]
    card = {"name": "toy", "licence": "CC0-1.0", "failures": cases}
    assert list(load_model(altered(_set("card", json.dumps(card)))).card.failures) == cases
    assert list(load_model(toy_generator).card.failures) == []


def _looping(proto):
    """The last value goes through a loop of 2**62 rounds."""
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Identity", ["goes_on"], ["goes_on_still"]),
            onnx.helper.make_node("Identity", ["value"], ["value_still"]),
        ],
        "body",
        [
            onnx.helper.make_tensor_value_info("round", onnx.TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info("goes_on", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("value", onnx.TensorProto.FLOAT, None),
        ],
        [
            onnx.helper.make_tensor_value_info("goes_on_still", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("value_still", onnx.TensorProto.FLOAT, None),
        ],
    )
    rounds = onnx.helper.make_tensor("rounds", onnx.TensorProto.INT64, [], [2**62])
    always = onnx.helper.make_tensor("always", onnx.TensorProto.BOOL, [], [True])
    proto.graph.initializer.extend([rounds, always])
    node = onnx.helper.make_node("Loop", ["rounds", "always", "source"], ["late"], body=body)
    proto.graph.node.insert(0, node)


def _of_another_domain(proto):
    proto.graph.node[0].domain = "com.example"
    proto.opset_import.append(onnx.helper.make_opsetid("com.example", 1))


def _with_a_function(proto):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    opset = [onnx.helper.make_opsetid("", 21)]
    proto.functions.append(onnx.helper.make_function("ai.onnx", "Odd", ["x"], ["y"], [node], opset))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_looping, "the operator 'Loop' is control flow"),
        (_of_another_domain, "of the domain 'com.example'"),
        (_with_a_function, "holds the function 'Odd'"),
    ],
)
def test_a_network_that_is_a_program_is_refused(altered, change, told):
    with pytest.raises(ModelError, match=told):
        load_model(altered(change))


def _with(*nodes, values=(), sparse=None):
    """A change that adds nodes, the last of which gives `more`, whose sum goes into the source."""

    def change(proto):
        for name, value in dict(values).items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        if sparse is not None:
            proto.graph.sparse_initializer.append(sparse)
        more = onnx.helper.make_node("ReduceMean", ["more"], ["mean_of_more"], keepdims=0)
        late = onnx.helper.make_node("Add", ["source", "mean_of_more"], ["late"])
        for node in proto.graph.node:
            node.input[:] = ["late" if name == "source" else name for name in node.input]
        for node in reversed([*nodes, more, late]):
            proto.graph.node.insert(0, node)

    return change


def _node(kind, inputs, output="more", **attributes):
    return onnx.helper.make_node(kind, inputs.split(), [output], **attributes)


def _sparse():
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "more")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return onnx.helper.make_sparse_tensor(values, indices, [10**10])


_ONE = np.float32(1)
_FLAT = _node("Reshape", "source column", "flat")
_GREEDY = {
    "constant": _with(_node("ConstantOfShape", "shape"), values={"shape": [10**10]}),
    "by arithmetic": _with(
        _node("Pow", "ten exponents", "shape"),
        _node("ConstantOfShape", "shape"),
        values={"ten": 10, "exponents": [4, 6]},
    ),
    "expand": _with(_node("Expand", "one shape"), values={"one": _ONE, "shape": [10**5, 10**5]}),
    "tile": _with(_node("Tile", "one times"), values={"one": [_ONE], "times": [10**10]}),
    "range": _with(
        _node("Range", "first last step"),
        values={"first": np.float32(0), "last": np.float32(1e10), "step": _ONE},
    ),
    "pad": _with(_node("Pad", "one pads"), values={"one": [_ONE], "pads": [0, 10**10]}),
    "padded convolution": _with(
        _node("Conv", "image kernel", pads=[50_000] * 4),
        values={"image": np.ones((1, 1, 1, 1), "f4"), "kernel": np.ones((1, 1, 1, 1), "f4")},
    ),
    "resize": _with(
        _node("Resize", "one nothing factor", mode="nearest"),
        values={"one": [_ONE], "nothing": np.zeros(0, "f4"), "factor": np.array([1e10], "f4")},
    ),
    "every voxel by every voxel": _with(
        _FLAT,
        _node("Transpose", "flat", "row", perm=[1, 0]),
        _node("Mul", "flat row"),
        values={"column": [-1, 1]},
    ),
    "many": _with(
        *(_node("ConstantOfShape", "shape", f"part{i}") for i in range(100)),
        _node("Sum", " ".join(f"part{i}" for i in range(100))),
        values={"shape": [20 * 2**20]},
    ),
    "sparse": _with(sparse=_sparse()),
}


@pytest.mark.parametrize("change", _GREEDY.values(), ids=_GREEDY)
def test_a_network_that_asks_for_tens_of_gigabytes_is_refused(altered, change):
    with pytest.raises(ModelError, match=r"the network would hold [\d.]+ GiB for a volume of 64x"):
        load_model(altered(change))


def test_a_network_of_a_size_that_only_its_values_tell_is_refused(altered):
    positions = _with(_node("NonZero", "source", "places"), _node("Cast", "places", to=1))
    with pytest.raises(ModelError, match="size of 'places', which the operator 'NonZero' gives"):
        load_model(altered(positions))


def test_stored_values_that_do_not_fill_their_shape_are_refused(altered):
    def lengthen(proto):
        next(t for t in proto.graph.initializer if t.name == "halves").raw_data = bytes(24)

    with pytest.raises(ModelError, match=r"the values stored as 'halves' are not of its shape"):
        load_model(altered(lengthen))


@pytest.mark.parametrize("bytes_", ["Infinity", "NaN", "1e300", "0", "-1", '"many"', "true"])
def test_memory_that_nothing_has_is_refused(altered, bytes_):
    text = f'{{"activation_bytes_per_voxel": {bytes_}}}'
    with pytest.raises(ModelError, match="activation_bytes_per_voxel is"):
        load_model(altered(_set("runtime", text)))


def test_control_characters_of_a_card_are_written_out(altered):
    card = {"name": "toy\x1b[2J", "licence": "CC0\u202e-1.0", "metrics": {"a\x07": ["b\x9b"]}}
    model = load_model(altered(_set("card", json.dumps(card))))
    assert (model.card.name, model.card.licence) == (r"toy\x1b[2J", r"CC0\u202e-1.0")
    assert model.card.metrics == {r"a\x07": [r"b\x9b"]}


@pytest.mark.parametrize("name", ["name", "description"])
def test_a_card_of_other_things_than_texts_is_refused(altered, name):
    card = {"name": "toy", "licence": "CC0-1.0", name: ["a list"]}
    with pytest.raises(ModelError, match=f"{name} in the model card is not text"):
        load_model(altered(_set("card", json.dumps(card))))


def test_metadata_of_endless_depth_are_refused(altered):
    with pytest.raises(ModelError, match="is not JSON"):
        load_model(altered(_set("card", "[" * 100_000)))


@pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(range(256)) * 10])
def test_other_content_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: (not an ONNX file|an ONNX file without)"):
        load_model(path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_truncated_model_is_refused(toy_generator, tmp_path, share):
    content = toy_generator.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cut\.onnx"):
        load_model(path)


def test_model_that_differs_from_its_published_checksum_is_refused(toy_generator, tmp_path):
    content = bytearray(toy_generator.read_bytes())
    path = tmp_path / "toy.onnx"
    path.write_bytes(content)
    (tmp_path / "SHA256").write_text(f"{load_model(path).sha256}  toy.onnx\n")
    assert load_model(path).card.name == "toy"
    content[len(content) // 4] ^= 1  # one bit of one weight
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"sha256 is .*, expected .*damaged or was changed"):
        load_model(path)


def test_onnx_file_of_another_tool_is_refused(altered):
    with pytest.raises(ModelError, match="no hagan-clinic metadata"):
        load_model(altered(lambda proto: proto.metadata_props.pop() and _clear(proto)))


def _clear(proto):
    del proto.metadata_props[:]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", "2", "schema '2', expected '1'"),
        ("recipe", None, "lacks 'hagan_clinic.recipe'"),
        ("recipe", "{}", "recipe"),
        ("card", None, "lacks 'hagan_clinic.card'"),
        ("card", "{", "'hagan_clinic.card' is not JSON"),
        ("card", "[]", "not a JSON object"),
        ("card", '{"name": "x"}', "card lacks licence"),
        ("card", '{"name": "x", "licence": "y", "failures": "z"}', "'z', expected a list of sent"),
        ("card", '{"name": "x", "licence": "y", "failures": [1]}', "expected a list of sentences"),
        ("runtime", '{"activation_bytes_per_voxel": -1}', "-1, expected a positive number"),
    ],
)
def test_wrong_metadata_are_named(altered, key, value, message):
    with pytest.raises(ModelError, match=message):
        load_model(altered(_set(key, value)))


def test_other_opset_is_refused(make_generator, tmp_path):
    with pytest.raises(ModelError, match="opset 20, expected 21"):
        load_model(make_generator(tmp_path / "old.onnx", opset=20))


def test_weights_outside_the_file_are_refused(toy_generator, tmp_path):
    path = tmp_path / "external.onnx"
    onnx.save(
        onnx.load(toy_generator),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(ModelError, match=r"the weights '.*' lie in another file"):
        load_model(path)


@pytest.mark.parametrize("nested", [False, True])
def test_weights_outside_the_file_are_refused_in_nodes_and_inner_graphs_too(altered, nested):
    def hide(proto):
        tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        node = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
        if nested:
            branch = onnx.helper.make_graph([node], "branch", [], [])
            node = onnx.helper.make_node("If", ["x"], ["c"], then_branch=branch)
        proto.graph.node.append(node)

    with pytest.raises(ModelError, match="'hidden' lie in another file"):
        load_model(altered(hide))


def test_channels_must_be_those_of_the_recipe(make_generator, tmp_path):
    path = make_generator(tmp_path / "two.onnx", channels=2)
    with pytest.raises(ModelError, match=r"takes 2 channel\(s\) and the recipe names 1 \(t1\)"):
        load_model(path)


def test_network_without_the_scale_output_is_refused(altered):
    def drop(proto):
        kept = [value for value in proto.graph.output if value.name != "scale"]
        del proto.graph.output[:]
        proto.graph.output.extend(kept)

    with pytest.raises(ModelError, match=r"outputs \['context', 'target'\], expected"):
        load_model(altered(drop))
