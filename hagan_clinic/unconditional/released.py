"""The weights that the authors released (github.com/batmanlab/HA-GAN), renamed into our model.

Four state dicts: G (G^A, G^H and G^L), D (D^H and D^L), E (E^H) and Sub_E (E^G), of the 128 or of
the 256 model, with or without the prefix of ``DataParallel``. Nothing in them is run.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized

from hagan_clinic.errors import ModelError
from hagan_clinic.training.registry import gather_settings
from hagan_clinic.unconditional.hagan import HAGAN
from hagan_clinic.unconditional.settings import UnconditionalConfig

ORDER = "G, D, E, Sub_E"
_PREFIX = "module."
_TOLD = 3
"""Names that an error lists at most."""

_GENERATOR = {
    "trunk.project": "fc1",
    **{f"trunk.blocks.{i}.convolution": f"tp_conv{i + 1}" for i in range(5)},
    **{f"trunk.blocks.{i}.norm": f"bn{i + 1}" for i in range(5)},
    "high.block.convolution": "tp_conv6",
    "high.block.norm": "bn6",
    "high.last": "tp_conv7",
    "low.layers.0": "sub_G.tp_conv1",
    "low.layers.1": "sub_G.bn1",
    "low.layers.3": "sub_G.tp_conv2",
    "low.layers.4": "sub_G.bn2",
    "low.layers.6": "sub_G.tp_conv3",
}
_SLAB_ENCODER = {
    **{f"blocks.{i}.convolution": f"conv{i + 1}" for i in range(3)},
    **{f"blocks.{i}.norm": f"bn{i + 1}" for i in range(3)},
}


def _latent_encoder(first: int) -> dict[str, str]:
    blocks = range(first, 5)
    return {
        **{f"blocks.{i - first}.convolution": f"conv{i}" for i in blocks},
        **{f"blocks.{i - first}.norm": f"bn{i}" for i in blocks},
        "last": "conv5",
    }


def _discriminators(first: int, classes: int) -> dict[str, str]:
    return {
        **{f"slab_discriminator.layers.{i - first}": f"conv{i}" for i in range(first, 8)},
        "slab_discriminator.hidden": "fc1",
        "slab_discriminator.head": "fc2",
        **({"slab_discriminator.class_head": "fc2_class"} if classes else {}),
        **{f"low_discriminator.layers.{i - first}": f"sub_D.conv{i}" for i in range(first, 5)},
        "low_discriminator.head": "sub_D.conv5",
    }


@dataclass(frozen=True, eq=False)
class Released:
    """What the four files hold.

    Attributes:
        model: with their weights, and the norm ``group``.
        files: name and sha256 of each, in the order G, D, E, Sub_E.
    """

    model: HAGAN
    files: tuple[dict[str, str], ...]


def read_released(
    generator: Path, discriminator: Path, encoder: Path, sub_encoder: Path
) -> Released:
    """Read the authors' weights; their shapes give size, classes and length of z.

    Raises:
        ModelError: a file that is missing, damaged or holds more than tensors, or tensors that
            are not those of the 128 or the 256 model.
    """
    g, d, e, sub_e = map(_StateDict.read, (generator, discriminator, encoder, sub_encoder))
    first = 1 if "conv1.weight" in d.tensors else 2
    side = 256 if first == 1 else 128
    classes = d.channels("sub_D.conv5.weight") - 1
    if classes == 1:
        raise ModelError(f"{d.path} has a head for one class: expected none, or at least two")
    settings = gather_settings(
        None,
        [],
        {
            "mode": "unconditional",
            "variant": "released",
            "size": [side] * 3,
            "latent": sub_e.channels("conv5.weight"),
            "label": "label" if classes else "",
            "classes": [str(number) for number in range(classes)],
        },
    )
    assert isinstance(settings, UnconditionalConfig)
    with torch.device("meta"):
        model = HAGAN(settings)
    autoencoder = model.autoencoder
    ours: dict[str, Tensor] = {}
    for file, part, prefix, names in (
        (g, autoencoder.generator, "autoencoder.generator.", _GENERATOR),
        (d, model, "", _discriminators(first, classes)),
        (e, autoencoder.encoder.slab, "autoencoder.encoder.slab.", _SLAB_ENCODER),
        (sub_e, autoencoder.encoder.latent, "autoencoder.encoder.latent.", _latent_encoder(first)),
    ):
        renamed = file.renamed(part, names, f"the {side} model")
        ours |= {prefix + name: tensor for name, tensor in renamed.items()}
    model.load_state_dict(ours, assign=True)
    return Released(model, tuple(file.identity for file in (g, d, e, sub_e)))


@dataclass(frozen=True, eq=False)
class _StateDict:
    """One of the files: its tensors by name, without the prefix."""

    path: Path
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "_StateDict":
        """Tensors alone are read: a pickle that names anything else is refused, not run."""
        try:
            _refuse_inflated(path)
            if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):
                raise ModelError(f"{path} is damaged ({damaged} fails its checksum): copy it again")
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (ModelError, MemoryError):
            raise
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}; expected weights") from error
        except Exception as error:  # a damaged pickle can raise anything
            reason = str(error).split(". ")[0].split("\n")[0]
            raise ModelError(
                f"{path} is damaged, or no file of tensors alone ({type(error).__name__}: "
                f"{reason}): expected a state dict as torch.save writes it; nothing in it was run"
            ) from error
        if not (
            isinstance(content, dict)
            and content
            and all(isinstance(key, str) for key in content)
            and all(_is_plain(value) for value in content.values())
        ):
            raise ModelError(
                f"{path} holds something else than tensors by name: expected a state dict"
            )
        stored = sum(one.numel() * one.element_size() for one in content.values())
        if stored > path.stat().st_size:
            raise ModelError(
                f"{path} says that its tensors take {stored} bytes, and has "
                f"{path.stat().st_size}: it is damaged, or made to exhaust the memory"
            )
        tensors = {k.removeprefix(_PREFIX): v.detach().float() for k, v in content.items()}
        bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        if bad:
            raise ModelError(f"{path}: {bad[0]} is not finite: expected numbers; copy it again")
        return cls(path, tensors)

    @property
    def identity(self) -> dict[str, str]:
        """Name and sha256 of the file."""
        with self.path.open("rb") as file:
            return {
                "name": self.path.name,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }

    def channels(self, name: str) -> int:
        """The first side of a tensor, at least 1."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.dim() == 0 or len(tensor) == 0:
            found = "is missing" if tensor is None else "is empty"
            raise ModelError(
                f"{self.path}: {name} {found}: give the four files of one model in the order "
                f"{ORDER}"
            )
        return len(tensor)

    def renamed(self, part: nn.Module, names: Mapping[str, str], model: str) -> dict[str, Tensor]:
        """The tensors as a part of our model names them, each checked for its shape.

        Args:
            part: of our model, for the shapes.
            names: its layers, and what they are called here.
            model: named in errors.
        """
        expected = {
            f"{there}.{name}": shape
            for here, there in names.items()
            for name, shape in _shapes(part.get_submodule(here)).items()
        }
        complaints = [
            f"{', '.join(sorted(wrong)[:_TOLD])}{' and others' * (len(wrong) > _TOLD)} {what}"
            for wrong, what in (
                (expected.keys() - self.tensors.keys(), "missing"),
                (self.tensors.keys() - expected.keys(), "unexpected"),
            )
            if wrong
        ]
        if complaints:
            raise ModelError(
                f"{self.path} does not fit {model}: {'; '.join(complaints)}; give the four files "
                f"of one model in the order {ORDER}"
            )
        for name, shape in expected.items():
            if self.tensors[name].shape != shape:
                raise ModelError(
                    f"{self.path} does not fit {model}: {name} has the shape "
                    f"{tuple(self.tensors[name].shape)}, expected {tuple(shape)}"
                )
        return {
            f"{here}.{name}": tensor
            for here, there in names.items()
            for name, tensor in self._layer(part.get_submodule(here), there).items()
        }

    def _layer(self, layer: nn.Module, name: str) -> dict[str, Tensor]:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        if not is_parametrized(layer):
            return {"weight": weight, "bias": bias}
        # Theirs takes a step of the power iteration before each use, also after training; ours
        # does so in training alone. The step is done here, so both divide by the same number.
        matrix = weight.flatten(1)
        v = functional.normalize(self.tensors[f"{name}.u0"] @ matrix)
        u = functional.normalize(v @ matrix.T)
        spectral = "parametrizations.weight"
        return {
            "bias": bias,
            f"{spectral}.original": weight,
            f"{spectral}.0._u": u[0],
            f"{spectral}.0._v": v[0],
        }


def _refuse_inflated(path: Path) -> None:
    """What torch writes is stored as it is; what inflates was made so by another hand."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > path.stat().st_size:
        raise ModelError(
            f"{path} inflates to {size} bytes, expected tensors as torch.save stores them"
        )


def _shapes(layer: nn.Module) -> dict[str, torch.Size]:
    """What the authors' layer of the same kind holds."""
    bias = layer.get_parameter("bias").shape
    if not is_parametrized(layer):
        return {"weight": layer.get_parameter("weight").shape, "bias": bias}
    weight = layer.get_parameter("parametrizations.weight.original").shape
    vectors = {"u0": torch.Size((1, weight[0])), "sv0": torch.Size((1,))}
    return {"weight": weight, "bias": bias, **vectors}


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.is_floating_point()
        and not value.is_quantized
    )
