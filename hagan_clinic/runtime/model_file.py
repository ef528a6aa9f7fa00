"""The model file: one ONNX network with its recipe and card, verified before use."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.errors import ModelError
from hagan_clinic.printable import printable_in
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.memory import size_text
from hagan_clinic.runtime.model_interface import (
    CONTEXT,
    SOURCE,
    TRANSLATOR,
    kind_text,
    verify_interface,
)
from hagan_clinic.runtime.network_sizes import UnknownSizeError, peak_bytes
from hagan_clinic.runtime.onnx_content import REMEDY, parse_network

if TYPE_CHECKING:
    from onnx import ModelProto

SCHEMA = "1"

CHECKSUMS = "SHA256"
"""File beside a bundled model, in the format of ``sha256sum``."""

DEFAULT_ACTIVATION_BYTES = 200
"""Peak bytes a voxel of network input, for a file that does not say: on the safe side."""

_LARGEST = 2**31 - 1  # protobuf's own limit on a message
_MOST_ACTIVATION_BYTES = 2**20

# A network's values are added up for a small and a large volume: the first shows what is large
# whatever the volume, the second what grows faster than the volume.
_SMALL, _LARGE = 64, 256
_SLACK = 4  # between what shapes tell and what was measured
_ROOM = 64 * 2**20


@dataclass(frozen=True)
class Card:
    """What a model's makers say of it.

    Attributes:
        name: Short name, as `hagan-clinic models` lists it.
        version: Version of the weights.
        description: One sentence.
        licence: SPDX expression of the weights' licence.
        training_data: What it was trained on.
        intended_use: What it is for, and what it is not for.
        failures: Cases in which it is known to fail, a sentence each.
        metrics: Figures by name, as measured by the makers.
    """

    name: str
    licence: str
    version: str = ""
    description: str = ""
    training_data: str = ""
    intended_use: str = ""
    failures: Sequence[str] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A verified model.

    Attributes:
        path: Where it was read from.
        kind: `TRANSLATOR`, `GENERATOR` or `ENCODER`.
        content: The file's bytes: what was hashed is what runs.
        sha256: Of the content, in hexadecimal.
        recipe: How volumes become network input.
        card: What its makers say of it.
        training: Facts of its training.
        activation_bytes: Memory at peak for each voxel of network input, in bytes.
        has_context: Whether the file can be cut at `context` (a low-resolution branch exists).
        shapes: Sizes of every input and output by its name, 0 where any size goes.
    """

    path: Path
    kind: str
    content: bytes = field(repr=False)
    sha256: str
    recipe: Recipe
    card: Card
    training: Mapping[str, Any]
    activation_bytes: int
    has_context: bool
    shapes: Mapping[str, tuple[int, ...]]

    def proto(self) -> ModelProto:
        """The parsed ONNX model, a fresh copy."""
        import onnx

        return onnx.load_model_from_string(self.content)


def load_model(path: str | Path, kind: str | None = TRANSLATOR) -> ModelFile:
    """Read a model file and verify everything that can be verified without running it.

    Args:
        path: A `.onnx` file as written by `hagan-clinic export`.
        kind: What the network must be; None takes any.

    Returns:
        The verified model.

    Raises:
        ModelError: The file is missing or corrupt, differs from the `SHA256` file beside it, keeps
            weights in other files, has no or unknown metadata, another opset than 21, inputs and
            outputs other than its kind and recipe say, or is of another kind; or its network
            would take far more memory than the file states.
    """
    path = Path(path)
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    expected = stated_checksums(path.parent).get(path.name)
    if expected is not None and expected != digest:
        raise ModelError(
            f"{path}: sha256 is {digest}, expected {expected} (from {CHECKSUMS} beside it): "
            "the file is damaged or was changed; install the package again"
        )
    proto = parse_network(path, content)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    schema = metadata.get("hagan_clinic.schema")
    if schema is None:
        raise ModelError(
            f"{path}: no hagan-clinic metadata in this ONNX file, so its preparation of images is "
            f"unknown. {REMEDY}"
        )
    if schema != SCHEMA:
        raise ModelError(
            f"{path}: metadata schema {schema!r}, expected {SCHEMA!r}. "
            "Use the hagan-clinic version that wrote the file, or a newer one."
        )
    found = metadata.get("hagan_clinic.kind", TRANSLATOR)
    if kind is not None and found != kind:
        raise ModelError(f"{path}: this is {kind_text(found)}, expected {kind_text(kind)}")
    recipe = Recipe.from_json(_entry(path, metadata, "recipe"))
    shapes = verify_interface(path, proto, found, recipe)
    runtime = _json_object(path, metadata, "runtime", required=False)
    activation_bytes = _activation_bytes(path, runtime)
    _verify_memory(path, proto, recipe, shapes, activation_bytes, len(content))
    return ModelFile(
        path=path,
        kind=found,
        content=content,
        sha256=digest,
        recipe=recipe,
        card=_card(path, _json_object(path, metadata, "card")),
        training=_json_object(path, metadata, "training", required=False),
        activation_bytes=activation_bytes,
        has_context=CONTEXT in shapes,
        shapes=shapes,
    )


def stated_checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file that the `SHA256` file of a folder lists; empty without one."""
    try:
        lines = (folder / CHECKSUMS).read_text("utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(" ") for line in lines if line.strip())
    return {name.lstrip(" *"): digest.lower() for digest, _, name in pairs}


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise ModelError(
                f"{path}: {size} bytes, and an ONNX file has at most {_LARGEST}. {REMEDY}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot read the model ({error.strerror or error}). Give the path of a .onnx "
            "file, or a name from `hagan-clinic models`."
        ) from error


def _entry(path: Path, metadata: Mapping[str, str], key: str) -> str:
    try:
        return metadata[f"hagan_clinic.{key}"]
    except KeyError:
        raise ModelError(f"{path}: the metadata lacks 'hagan_clinic.{key}'. {REMEDY}") from None


def _json_object(
    path: Path, metadata: Mapping[str, str], key: str, *, required: bool = True
) -> dict[str, Any]:
    text = _entry(path, metadata, key) if required else metadata.get(f"hagan_clinic.{key}", "{}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: metadata 'hagan_clinic.{key}' is not JSON ({error}). {REMEDY}"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: metadata 'hagan_clinic.{key}' is not a JSON object. {REMEDY}")
    cleaned: dict[str, Any] = printable_in(value)
    return cleaned


def _card(path: Path, entries: Mapping[str, Any]) -> Card:
    missing = [name for name in ("name", "licence") if not entries.get(name)]
    if missing:
        raise ModelError(f"{path}: the model card lacks {' and '.join(missing)}. {REMEDY}")
    failures = entries.get("failures", [])
    if not isinstance(failures, list) or not all(isinstance(case, str) for case in failures):
        raise ModelError(
            f"{path}: failures in the model card are {failures!r}, expected a list of sentences. "
            f"{REMEDY}"
        )
    for name in ("name", "licence", "version", "description", "training_data", "intended_use"):
        if not isinstance(entries.get(name, ""), str):
            raise ModelError(f"{path}: {name} in the model card is not text. {REMEDY}")
    known = {f.name for f in fields(Card)}
    return Card(**{name: value for name, value in entries.items() if name in known})


def _activation_bytes(path: Path, runtime: Mapping[str, Any]) -> int:
    value = runtime.get("activation_bytes_per_voxel", DEFAULT_ACTIVATION_BYTES)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 < value <= _MOST_ACTIVATION_BYTES):
        raise ModelError(
            f"{path}: activation_bytes_per_voxel is {value!r:.40}, expected a positive number of "
            f"at most {_MOST_ACTIVATION_BYTES}. {REMEDY}"
        )
    number: float = value
    return max(1, round(number))


def _verify_memory(
    path: Path,
    proto: ModelProto,
    recipe: Recipe,
    shapes: Mapping[str, tuple[int, ...]],
    activation_bytes: int,
    stored: int,
) -> None:
    """Refuse values of sizes that only a run would show, or beyond what the file says of them."""
    for least in (_SMALL, _LARGE):
        side = -(-least // recipe.multiple) * recipe.multiple
        sizes = shapes[SOURCE][2:] if SOURCE in shapes else recipe.box
        volume = [size or side for size in sizes]
        most = _SLACK * (activation_bytes * math.prod(volume) + stored) + _ROOM
        try:
            held = peak_bytes(proto, side)
        except UnknownSizeError as error:
            raise ModelError(f"{path}: {error}. {REMEDY}") from error
        if held > most:
            raise ModelError(
                f"{path}: the network would hold {size_text(held)} for a volume of "
                f"{'x'.join(map(str, volume))}, expected at most {size_text(most)} by the "
                f"{activation_bytes} bytes a voxel that the file states. {REMEDY}"
            )
