"""Features of volumes: the 2048 numbers of MedicalNet's ResNet-50 (Chen et al. 2019)."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hagan_clinic.errors import InputError, ModelError

FEATURES = 2048
SEED = 0
DILATIONS = {"layer3": 2, "layer4": 4}
"""Of MedicalNet's last two stages, which keep the resolution of the second."""

SMALLEST_SIDE = 16

Float32 = NDArray[np.float32]


class FeatureNetwork:
    """ResNet-50 without its head, averaged over its last maps.

    Args:
        weights: MedicalNet's `resnet_50.pth` or `resnet_50_23dataset.pth`. Without it the network
            has random weights of a fixed seed: distances then compare with nothing published.
        device: Where it runs.

    Raises:
        InputError: The file is missing, or not MedicalNet's ResNet-50.
    """

    def __init__(self, weights: Path | None = None, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = medicalnet_resnet50()
        if weights is None:
            self.identity = f"random-{SEED}"
            self.description = (
                f"a ResNet-50 with RANDOM weights (seed {SEED}): not comparable with any "
                "published value; give --features hd-bet, or --feature-weights for MedicalNet's"
            )
        else:
            state, self.identity = _read_weights(weights)
            _load(network, state, weights)
            self.description = f"MedicalNet's ResNet-50, {weights.name}, sha256 {self.identity}"
        self._network = network.eval().to(self._device)
        self.features = FEATURES

    def __call__(self, volume: Float32) -> Float32:
        """The features (2048,) of a volume (D, H, W) in [0, 1]; it is seen in [-1, 1].

        Raises:
            InputError: The volume is too small.
        """
        if min(volume.shape) < SMALLEST_SIDE:
            raise InputError(
                f"a volume of shape {volume.shape}: features need sides of {SMALLEST_SIDE} or more"
            )
        tensor = torch.from_numpy(np.ascontiguousarray(2 * volume - 1, np.float32))[None, None]
        with torch.inference_mode():
            features: Tensor = self._network(tensor.to(self._device))
        return cast(Float32, features[0].float().cpu().numpy())


def medicalnet_resnet50() -> nn.Module:
    """MONAI's ResNet-50 made into MedicalNet's.

    MONAI gives its last two stages stride 2, as for images; MedicalNet gives them stride 1 and
    dilations 2 and 4. Weights fit both, and the features differ.
    """
    from monai.networks.nets.resnet import resnet50  # seconds of start-up, for this alone

    network = resnet50(
        spatial_dims=3, n_input_channels=1, conv1_t_size=7, conv1_t_stride=2, feed_forward=False,
        shortcut_type="B", bias_downsample=False,
    )  # fmt: skip
    for name, dilation in DILATIONS.items():
        for block in getattr(network, name):
            block.conv2.stride = (1, 1, 1)
            block.conv2.dilation = block.conv2.padding = (dilation,) * 3
            if block.downsample is not None:
                block.downsample[0].stride = (1, 1, 1)
    return cast(nn.Module, network)


def _read_weights(path: Path) -> tuple[Mapping[str, Any], str]:
    """Tensors by name, and the file's sha256; nothing but tensors is loaded."""
    if not path.is_file():
        raise InputError(f"--feature-weights {path}: no such file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"--feature-weights {path}: not a file of tensors that PyTorch reads ({error})"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return {str(name).removeprefix("module."): value for name, value in state.items()}, digest


def _load(network: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    expected = network.state_dict()
    # MedicalNet's files have a segmentation head too.
    found = {name: value for name, value in state.items() if name in expected}
    wrong = [
        name
        for name, value in expected.items()
        if name not in found or found[name].shape != value.shape
    ]
    # Old versions of PyTorch kept no count of batches, which evaluation does not use.
    wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
    if wrong:
        raise ModelError(
            f"--feature-weights {path}: {len(wrong)} of {len(expected)} tensors are missing or of "
            f"another shape, such as {wrong[0]}; expected MedicalNet's resnet_50.pth"
        )
    network.load_state_dict(found, strict=False)
