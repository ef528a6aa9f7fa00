import hashlib

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet50

from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.evaluation.feature_cache import FeatureCache
from hagan_clinic.evaluation.features import FEATURES, FeatureNetwork, medicalnet_resnet50


@pytest.fixture(scope="module")
def volumes():
    rng = np.random.default_rng(0)
    return [rng.random((16, 20, 16), dtype=np.float32) for _ in range(3)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as MedicalNet publishes it: names of DataParallel, and a head that is not used."""
    torch.manual_seed(5)
    state = {f"module.{name}": value for name, value in medicalnet_resnet50().state_dict().items()}
    state["module.conv_seg.0.weight"] = torch.zeros(3)
    path = tmp_path_factory.mktemp("weights") / "resnet_50.pth"
    torch.save({"state_dict": state}, path)
    return path


def test_the_last_two_stages_keep_the_resolution_of_the_second_as_medicalnets_do():
    network = medicalnet_resnet50().eval()
    shapes = {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(
            lambda _, __, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    with torch.inference_mode():
        features = network(torch.zeros(1, 1, 32, 32, 32))
    assert shapes == {
        "layer1": (256, 8, 8, 8),
        "layer2": (512, 4, 4, 4),
        "layer3": (1024, 4, 4, 4),
        "layer4": (2048, 4, 4, 4),
    }
    assert features.shape == (1, FEATURES)
    dilations = {
        name: {block.conv2.dilation for block in getattr(network, name)} for name in shapes
    }
    assert dilations == {
        "layer1": {(1,) * 3},
        "layer2": {(1,) * 3},
        "layer3": {(2,) * 3},
        "layer4": {(4,) * 3},
    }


def test_its_tensors_are_those_of_monais_network():
    plain = resnet50(
        spatial_dims=3, n_input_channels=1, feed_forward=False, bias_downsample=False
    ).state_dict()
    shapes = {name: value.shape for name, value in medicalnet_resnet50().state_dict().items()}
    assert shapes == {name: value.shape for name, value in plain.items()}


def test_weights_by_path_are_used_and_told_by_their_sha256(weights, volumes):
    network = FeatureNetwork(weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert digest in network.description
    torch.manual_seed(5)
    expected = medicalnet_resnet50().eval()
    with torch.inference_mode():
        tensor = torch.from_numpy(2 * volumes[0] - 1)[None, None]
        np.testing.assert_allclose(network(volumes[0]), expected(tensor)[0], rtol=1e-5)


def test_without_weights_the_network_is_random_the_same_again_and_says_so(volumes):
    state = torch.random.get_rng_state()
    one, other = FeatureNetwork(), FeatureNetwork()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert "RANDOM" in one.description
    np.testing.assert_array_equal(one(volumes[0]), other(volumes[0]))


def test_wrong_weights_are_named(tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 1, 3, 3, 3)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no tensors")
    with pytest.raises(ModelError, match=r"of another shape.*expected MedicalNet's resnet_50"):
        FeatureNetwork(tmp_path / "other.pth")
    for name, message in (("text.pth", "not a file of tensors"), ("none.pth", "no such file")):
        with pytest.raises(InputError, match=message):
            FeatureNetwork(tmp_path / name)


def test_features_are_kept_by_content_and_by_network(weights, volumes, tmp_path):
    random = FeatureCache(FeatureNetwork(), tmp_path)
    first = random.all(volumes)
    assert random.computed == 3
    again = random.all([volumes[2].copy(), volumes[0]])
    assert random.computed == 3
    np.testing.assert_array_equal(again, first[[2, 0]])
    cut = sorted(tmp_path.iterdir())[0]
    cut.write_bytes(cut.read_bytes()[:100])
    np.testing.assert_array_equal(random.all(volumes), first)
    assert random.computed == 4
    published = FeatureCache(FeatureNetwork(weights), tmp_path)
    assert not np.allclose(published.all(volumes[:1]), first[:1])
    assert published.computed == 1
